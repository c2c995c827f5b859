#!/usr/bin/env python3
"""ask.py [--model DIR]: questions about live video and audio, while they run.

Every line of the standard input is a question, or one of the words
  stats      what the model has done so far, and how long it took
  restart    the pipeline goes to READY and on again, with an empty context

Needs python3-gi. The sources are GStreamer's test picture and tone: put v4l2src and alsasrc in their place.
"""
import argparse
import queue
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

LAUNCH = ('omnibin name=omni model-path="{model}" prompt="Describe the feed." '
          "videotestsrc is-live=true pattern=smpte ! omni.sink_video audiotestsrc is-live=true freq=1000 ! omni.sink_audio "
          "omni.src_text ! appsink name=texts emit-signals=true async=false sync=false")
arrived = queue.Queue()  # texts and errors, from GStreamer's threads


def text_came(sink):
    buffer = sink.emit("pull-sample").get_buffer()
    answered = buffer.get_custom_meta("GstOmniAnswerMeta").get_structure()
    arrived.put((answered.get_string("question"), answered.get_uint64("media-start")[1] / Gst.SECOND,
                 buffer.extract_dup(0, buffer.get_size()).decode()))
    return Gst.FlowReturn.OK


def wait_for_answer(question=None):
    """Prints answers as they come, until there is one to `question`, or any."""
    while True:
        item = arrived.get()
        if isinstance(item, str):
            raise SystemExit(item)
        asked, start, text = item
        print(f"{start:5.1f} s  {asked} {text}", flush=True)
        if question in (None, asked):
            return


def print_stats(model):
    stats = model.get_property("stats")
    print(f"{stats.get_uint64('answers')[1]} answers, {stats.get_uint64('tokens')[1]} tokens, first token after {stats.get_double('ttft')[1]:.0f} ms, "
          f"{stats.get_uint64('context-tokens')[1]} tokens of context, {stats.get_uint64('drops')[1]} dropped, computes on {stats.get_string('compute')}", flush=True)


def start(pipeline):
    pipeline.set_state(Gst.State.PLAYING)
    wait_for_answer()  # to the standing question: by now there is something to ask about


def main():
    Gst.init(None)
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="models/nano")
    pipeline = Gst.parse_launch(LAUNCH.format(model=arguments.parse_args().model))
    model = pipeline.get_by_name("omni")
    pipeline.get_by_name("texts").connect("new-sample", text_came)
    pipeline.get_bus().enable_sync_message_emission()
    pipeline.get_bus().connect("sync-message::error", lambda _, message: arrived.put(message.parse_error().gerror.message))
    start(pipeline)
    for line in sys.stdin:
        line = line.strip()
        if line == "stats":
            print_stats(model)
        elif line == "restart":
            pipeline.set_state(Gst.State.READY)
            while not arrived.empty():  # answers of before
                arrived.get()
            start(pipeline)
        elif line:
            model.emit("ask", line)
            wait_for_answer(line)
    pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()

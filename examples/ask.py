#!/usr/bin/env python3
"""ask.py [--model DIR]: questions about live video and audio, while they run.

Every line of the standard input is a question, or one of the words
  stats      what the model has done so far, and how long it took
  restart    the pipeline goes to READY and on again, with an empty context

Needs python3-gi. The sources are GStreamer's test picture and tone: put v4l2src and alsasrc in their place.
"""
import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

LAUNCH = ('omnibin name=omni model-path="{model}" prompt="Describe the feed." '
          "videotestsrc is-live=true pattern=smpte ! omni.sink_video audiotestsrc is-live=true freq=1000 ! omni.sink_audio "
          "omni.src_text ! fakesink async=false")


def wait_for_answer(pipeline, question=None):
    """Prints answers as they come, until there is one to `question`, or any."""
    while True:
        message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.ELEMENT | Gst.MessageType.ERROR)
        if message.type == Gst.MessageType.ERROR:
            raise SystemExit(message.parse_error().gerror.message)
        answer = message.get_structure()
        if answer.get_name() != "omni/answer":
            continue
        start = answer.get_uint64("running-time")[1] / Gst.SECOND
        print(f"{start:5.1f} s  {answer.get_string('question')} {answer.get_string('text')}", flush=True)
        if question in (None, answer.get_string("question")):
            return


def print_stats(model):
    stats = model.get_property("stats")
    print(f"{stats.get_uint64('answers')[1]} answers, {stats.get_uint64('tokens')[1]} tokens, first token after {stats.get_double('ttft')[1]:.0f} ms, "
          f"{stats.get_uint64('context-tokens')[1]} tokens of context, {stats.get_uint64('drops')[1]} dropped, computes on {stats.get_string('compute')}", flush=True)


def start(pipeline):
    pipeline.set_state(Gst.State.PLAYING)
    wait_for_answer(pipeline)  # to the standing question: by now there is something to ask about


def main():
    Gst.init(None)
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="models/nano")
    pipeline = Gst.parse_launch(LAUNCH.format(model=arguments.parse_args().model))
    model = pipeline.get_by_name("omni")
    start(pipeline)
    for line in sys.stdin:
        line = line.strip()
        if line == "stats":
            print_stats(model)
        elif line == "restart":
            pipeline.set_state(Gst.State.READY)
            pipeline.get_bus().set_flushing(True)  # answers of before
            pipeline.get_bus().set_flushing(False)
            start(pipeline)
        elif line:
            model.emit("ask", line)
            wait_for_answer(pipeline, line)
    pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()

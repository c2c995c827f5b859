#!/usr/bin/env python3
"""boxes.py [--model DIR] [FILE-OR-URI]: prints what is where, in Python.

Two ways, side by side:
  src_spatial   a JSON document for every answer (docs/spatial.md), on every GStreamer
  src_video     the frames, with the objects on them as GstAnalytics metadata, from GStreamer 1.24. On 1.22 frames carry regions
                of interest only, which Python cannot list there: a program in C can (boxes.cc), Python takes the documents.

Needs python3-gi and the typelibs of gst-plugins-base (Debian: python3-gi gir1.2-gst-plugins-base-1.0; for the second way
gir1.2-gst-plugins-bad-1.0). Without a file it looks at GStreamer's moving ball.
"""
import argparse
import json
import pathlib

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstApp  # noqa: E402,F401: GstApp makes try_pull_sample() a method of appsink

try:
    gi.require_version("GstAnalytics", "1.0")
    from gi.repository import GstAnalytics
except (ValueError, ImportError):
    GstAnalytics = None  # GStreamer 1.22

SOURCE = "videotestsrc pattern=ball num-buffers=120 ! video/x-raw,width=640,height=360,framerate=30/1"


def pipeline(model, file):
    source = SOURCE
    if file:
        uri = file if Gst.uri_is_valid(file) else pathlib.Path(file).resolve(strict=True).as_uri()
        source = f'uridecodebin uri="{uri}" ! videoconvert'
    return Gst.parse_launch(f'omnibin name=omni model-path="{model}" json-schema=boxes tracking=predict {source} ! omni.sink_video '
                            "omni.src_spatial ! appsink name=documents emit-signals=true sync=false "
                            "omni.src_video ! appsink name=frames emit-signals=true sync=false")


def document_came(sink):
    """Called by the thread that the pad's data come in, as all callbacks of appsink are."""
    buffer = sink.pull_sample().get_buffer()
    document = json.loads(buffer.extract_dup(0, buffer.get_size()))
    for o in document["objects"]:
        print(f"document {document['frame']['time'] / Gst.SECOND:6.2f} s  {o['label']} #{o.get('track', 0)} at {o.get('box', o.get('point'))}, "
              f"confidence {o['confidence']:.2f}", flush=True)
    return Gst.FlowReturn.OK


def frame_came(sink):
    buffer = sink.pull_sample().get_buffer()
    relations = GstAnalytics.buffer_get_analytics_relation_meta(buffer) if GstAnalytics else None
    for i in range(GstAnalytics.relation_get_length(relations) if relations else 0):
        found, detection = relations.get_od_mtd(i)
        if found:
            _, x, y, width, height, confidence = detection.get_location()
            print(f"frame    {buffer.pts / Gst.SECOND:6.2f} s  {GLib.quark_to_string(detection.get_obj_type())} at {[x, y, x + width, y + height]}, "
                  f"confidence {confidence:.2f}", flush=True)
    return Gst.FlowReturn.OK


def main():
    Gst.init(None)
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="models/nano")
    arguments.add_argument("file", nargs="?")
    arguments = arguments.parse_args()
    p = pipeline(arguments.model, arguments.file)
    p.get_by_name("documents").connect("new-sample", document_came)
    p.get_by_name("frames").connect("new-sample", frame_came)
    p.set_state(Gst.State.PLAYING)
    message = p.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    p.set_state(Gst.State.NULL)
    if message.type == Gst.MessageType.ERROR:
        raise SystemExit(message.parse_error().gerror.message)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""scenes.py --model DIR [--show SINK] [NAME=SOURCE…]: a model that puts cameras on air.

Every line of the standard input is for the model. It sees the camera that is on air, and has a tool, show(camera), which switches
an input-selector and tells it what is on air now. Its family needs a template for tools (Qwen3-VL, Qwen3-Omni); SINK is where the
picture goes, a SOURCE what gst-launch-1.0 takes:

  scenes.py --model Qwen3-VL-4B 'door=v4l2src device=/dev/video0' 'yard=rtspsrc location=rtsp://yard ! decodebin'

Needs python3-gi.
"""
import argparse
import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

CAMERAS = ["door=videotestsrc is-live=true pattern=smpte", "yard=videotestsrc is-live=true pattern=ball"]
LAUNCH = ('input-selector name=scenes ! tee name=air ! queue ! videoconvert ! {show} air. ! queue ! omni.sink_video '
          'omnibin name=omni model-path="{model}" trigger=manual remember=true max-tokens=64 system-prompt="You direct a programme of several cameras." ')
CAMERA = "{source} ! videoconvert ! videoscale ! videorate ! video/x-raw,format=I420,width=640,height=360,framerate=25/1 ! queue ! scenes.sink_{i} "


class Scenes:
    def __init__(self, pipeline, names):
        selector = pipeline.get_by_name("scenes")
        self.selector = selector
        self.pads = {name: selector.get_static_pad(f"sink_{i}") for i, name in enumerate(names)}

    def show(self, name):
        self.selector.set_property("active-pad", self.pads[name])

    def on_air(self):
        pad = self.selector.get_property("active-pad")
        return next(name for name, p in self.pads.items() if p == pad)

    def tools(self):
        """What the model is told: its calls always fit, so that no other camera can be asked for."""
        camera = {"type": "string", "enum": list(self.pads)}
        parameters = {"type": "object", "properties": {"camera": camera}, "required": ["camera"]}
        return json.dumps([{"type": "function", "function": {"name": "show", "description": "Puts a camera on air.", "parameters": parameters}}])


def called(model, call, _, arguments, __, scenes):
    """The signal, in a thread of the model, which waits for the result."""
    scenes.show(json.loads(arguments)["camera"])
    print(f"show({arguments}): {scenes.on_air()} is on air", flush=True)
    model.emit("tool-result", call, json.dumps({"on air": scenes.on_air()}))


def next_answer(bus, question):
    while True:
        message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.ELEMENT | Gst.MessageType.ERROR)
        if message.type == Gst.MessageType.ERROR:
            raise SystemExit(message.parse_error().gerror.message)
        answer = message.get_structure()
        if answer.get_name() == "omni/answer" and answer.get_string("question") == question:
            return answer.get_string("text")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--show", default="autovideosink")
    arguments.add_argument("camera", nargs="*", default=CAMERAS)
    a = arguments.parse_args()
    Gst.init(None)
    cameras = dict(camera.split("=", 1) for camera in a.camera)
    pipeline = Gst.parse_launch(LAUNCH.format(show=a.show, model=a.model) +
                                "".join(CAMERA.format(source=source, i=i) for i, source in enumerate(cameras.values())))
    scenes, model = Scenes(pipeline, cameras), pipeline.get_by_name("omni")
    model.set_property("tools", scenes.tools())
    model.connect("tool-call", called, scenes)
    pipeline.set_state(Gst.State.PLAYING)
    for line in sys.stdin:
        model.emit("ask", line.strip())
        print(next_answer(pipeline.get_bus(), line.strip()), flush=True)
    pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()

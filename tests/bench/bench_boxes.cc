// bench_boxes FOLDER: how well the boxes of a checkpoint lie on the ball of videotestsrc, measured
// from pixels of the very frames that carry them.
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

struct Box {
  double x1, y1, x2, y2;
  double area() const { return (x2 - x1) * (y2 - y1); }
};

double iou(const Box& a, const Box& b) {
  const double w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1),
               h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  return w <= 0 || h <= 0 ? 0 : w * h / (a.area() + b.area() - w * h);
}

struct Measured {
  int width, height;
  std::vector<double> on_its_frame, on_all;  // IoU
  // distance of centres on the result's frame, in parts of the picture's height
  std::vector<double> centre;
  int n_results = 0;
};

GstFlowReturn frame(GstAppSink* sink, gpointer data) {
  auto& m = *static_cast<Measured*>(data);
  GstSample* sample = gst_app_sink_pull_sample(sink);
  if (!sample) return GST_FLOW_EOS;
  GstBuffer* b = gst_sample_get_buffer(sample);
  GstMapInfo map;
  gst_buffer_map(b, &map, GST_MAP_READ);
  const int stride = GST_ROUND_UP_4(m.width);
  Box truth{double(m.width), double(m.height), -1, -1};
  for (int y = 0; y < m.height; ++y)
    for (int x = 0; x < m.width; ++x)
      if (map.data[y * stride + x] > 128)
        truth = {std::min(truth.x1, double(x)), std::min(truth.y1, double(y)),
                 std::max(truth.x2, x + 1.0), std::max(truth.y2, y + 1.0)};
  gst_buffer_unmap(b, &map);
  double best = 0, away = 1;
  gpointer state = nullptr;
  bool any = false;
  while (auto* roi =
             reinterpret_cast<GstVideoRegionOfInterestMeta*>(gst_buffer_iterate_meta_filtered(
                 b, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    const Box box{double(roi->x), double(roi->y), double(roi->x) + roi->w, double(roi->y) + roi->h};
    any = true;
    best = std::max(best, iou(truth, box));
    away = std::min(away, std::hypot(box.x1 + box.x2 - truth.x1 - truth.x2,
                                     box.y1 + box.y2 - truth.y1 - truth.y2) /
                              2 / m.height);
  }
  // Results are about the last of the four frames of every 2 s.
  if ((GST_BUFFER_PTS(b) + GST_MSECOND) % (2 * GST_SECOND) / (GST_SECOND / 30) == 45) {
    ++m.n_results;
    m.on_its_frame.push_back(best);
    if (any) m.centre.push_back(away);
  }
  if (GST_BUFFER_PTS(b) >= 1500 * GST_MSECOND) m.on_all.push_back(best);
  gst_sample_unref(sample);
  return GST_FLOW_OK;
}

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return v.empty() ? 0 : sum / double(v.size());
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  if (argc != 2) return std::fprintf(stderr, "usage: bench_boxes FOLDER\n"), 2;
  std::printf("%-10s %8s %22s %22s %22s\n", "picture", "results", "mean IoU (its frame)",
              "centre off by (height)", "mean IoU (all, moved)");
  for (const auto& [w, h] : std::vector<std::pair<int, int>>{
           {320, 240}, {640, 360}, {1280, 720}, {1920, 1080}, {1080, 1920}}) {
    Measured m{w, h, {}, {}, {}};
    const std::string launch =
        "videotestsrc pattern=ball num-buffers=1200 ! video/x-raw,format=GRAY8,width=" +
        std::to_string(w) + ",height=" + std::to_string(h) +
        ",framerate=30/1 ! o.sink_video audiotestsrc num-buffers=1723 ! audio/x-raw,rate=44100 ! "
        "o.sink_audio omnibin name=o json-schema=boxes tracking=predict model-path=" +
        argv[1] + " o.src_video ! appsink name=out sync=false";
    GError* error = nullptr;
    GstElement* p = gst_parse_launch(launch.c_str(), &error);
    if (!p) return std::fprintf(stderr, "%s\n", error->message), 1;
    GstElement* out = gst_bin_get_by_name(GST_BIN(p), "out");
    GstAppSinkCallbacks callbacks{};
    callbacks.new_sample = frame;
    gst_app_sink_set_callbacks(GST_APP_SINK(out), &callbacks, &m, nullptr);
    gst_element_set_state(p, GST_STATE_PLAYING);
    GstBus* bus = gst_element_get_bus(p);
    GstMessage* message = gst_bus_timed_pop_filtered(
        bus, 300 * GST_SECOND, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    if (!message || GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
      return std::fprintf(stderr, "bench_boxes: the pipeline failed\n"), 1;
    gst_message_unref(message);
    gst_element_set_state(p, GST_STATE_NULL);
    gst_object_unref(bus);
    gst_object_unref(out);
    gst_object_unref(p);
    std::printf("%4dx%-5d %8d %22.3f %22.3f %22.3f\n", w, h, m.n_results, mean(m.on_its_frame),
                mean(m.centre), mean(m.on_all));
  }
  return 0;
}

// omni-boxes [--model DIR] [FILE-OR-URI]
//
// Prints what is where on the frames themselves, which appsink hands to the program with the
// objects on them as regions of interest (gst_buffer_iterate_meta_filtered lists them, in C only;
// from GStreamer 1.24 the same objects are there as GstAnalyticsRelationMeta too). Without a file
// it looks at GStreamer's moving ball.
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <cstdio>
#include <string>

namespace {

std::string source(const std::string& file) {
  if (file.empty())
    return "videotestsrc pattern=ball num-buffers=120 ! "
           "video/x-raw,width=640,height=360,framerate=30/1";
  if (gst_uri_is_valid(file.c_str())) return "uridecodebin uri=\"" + file + "\" ! videoconvert";
  gchar* uri = gst_filename_to_uri(file.c_str(), nullptr);
  const std::string text = std::string("uridecodebin uri=\"") + uri + "\" ! videoconvert";
  g_free(uri);
  return text;
}

void print_region(GstClockTime pts, const GstVideoRegionOfInterestMeta* region) {
  // A box is a "detection", a point a "point"; "tracking" is there where there is a track.
  auto* m = const_cast<GstVideoRegionOfInterestMeta*>(region);
  const GstStructure* detection = gst_video_region_of_interest_meta_get_param(m, "detection");
  const GstStructure* tracking = gst_video_region_of_interest_meta_get_param(m, "tracking");
  if (!detection) return;
  double confidence = 0;
  int track = 0;
  gst_structure_get_double(detection, "confidence", &confidence);
  if (tracking) gst_structure_get_int(tracking, "id", &track);
  std::printf("%6.2f s  %s #%d at %u,%u, %u x %u, confidence %.2f\n", double(pts) / GST_SECOND,
              gst_structure_get_string(detection, "label"), track, region->x, region->y, region->w,
              region->h, confidence);
}

// Called by the thread in which the frames come.
GstFlowReturn frame_came(GstAppSink* sink, gpointer) {
  GstSample* sample = gst_app_sink_pull_sample(sink);
  if (!sample) return GST_FLOW_EOS;
  GstBuffer* frame = gst_sample_get_buffer(sample);
  gpointer at = nullptr;
  while (GstMeta* meta = gst_buffer_iterate_meta_filtered(
             frame, &at, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
    const auto* region = reinterpret_cast<GstVideoRegionOfInterestMeta*>(meta);
    if (region->roi_type == g_quark_from_string("omni"))
      print_region(GST_BUFFER_PTS(frame), region);
  }
  gst_sample_unref(sample);
  return GST_FLOW_OK;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  std::string model = "models/nano", file;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--model" && i + 1 < argc)
      model = argv[++i];
    else
      file = argv[i];
  }
  const std::string launch = "omnibin name=omni model-path=\"" + model +
                             "\" json-schema=boxes tracking=predict " + source(file) +
                             " ! omni.sink_video omni.src_video ! appsink name=frames sync=false";
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(launch.c_str(), &error);
  if (!pipeline) {
    std::fprintf(stderr, "%s\n", error->message);
    return 1;
  }
  GstElement* frames = gst_bin_get_by_name(GST_BIN(pipeline), "frames");
  GstAppSinkCallbacks callbacks{};
  callbacks.new_sample = frame_came;
  gst_app_sink_set_callbacks(GST_APP_SINK(frames), &callbacks, nullptr, nullptr);
  gst_object_unref(frames);

  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* message = gst_bus_timed_pop_filtered(
      bus, GST_CLOCK_TIME_NONE, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  const bool failed = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR;
  if (failed) {
    gst_message_parse_error(message, &error, nullptr);
    std::fprintf(stderr, "%s\n", error->message);
    g_error_free(error);
  }
  gst_message_unref(message);
  gst_object_unref(bus);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
  return failed;
}

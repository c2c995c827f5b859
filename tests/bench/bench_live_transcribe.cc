// bench_live_transcribe FOLDER WAV SECONDS [PROPERTIES] : the recording (16-bit mono WAV) again and
// again as a live source through omnitranscriber. Every 30 s a line with the words so far, their
// delays as the element sees them, and memory; every word with its time and the time at which it
// came to the standard error, for tools/check/word_delays.py.
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace {

long resident_kb() {
  std::ifstream f("/proc/self/status");
  for (std::string line; std::getline(f, line);)
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
  return 0;
}

struct Run {
  GstElement* pipeline;
  guint64 words = 0;
};

void word(GstElement* sink, GstBuffer* b, GstPad*, gpointer data) {
  auto* run = static_cast<Run*>(data);
  ++run->words;
  GstMapInfo map;
  gst_buffer_map(b, &map, GST_MAP_READ);
  GstClock* clock = gst_element_get_clock(sink);
  const GstClockTime now = gst_clock_get_time(clock) - gst_element_get_base_time(sink);
  std::fprintf(stderr, "%.3f %.3f %.3f %.*s\n", double(GST_BUFFER_PTS(b)) / 1e9,
               double(GST_BUFFER_PTS(b) + GST_BUFFER_DURATION(b)) / 1e9, double(now) / 1e9,
               int(map.size), reinterpret_cast<const char*>(map.data));
  gst_object_unref(clock);
  gst_buffer_unmap(b, &map);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4)
    return std::fprintf(stderr, "bench_live_transcribe FOLDER WAV SECONDS [PROPERTIES]\n"), 2;
  gst_init(nullptr, nullptr);
  std::ifstream f(argv[2], std::ios::binary);
  const std::string wav((std::istreambuf_iterator<char>(f)), {});
  guint32 rate = 16000;
  if (wav.size() < 48) return std::fprintf(stderr, "%s is no WAV\n", argv[2]), 2;
  std::memcpy(&rate, wav.data() + 24, 4);
  const size_t head = wav.find("data") + 8, piece = rate / 50 * 2;
  const int seconds = std::atoi(argv[3]);
  const std::string launch =
      "appsrc name=in is-live=true format=time block=true max-bytes=64000 "
      "caps=audio/x-raw,format=S16LE,channels=1,layout=interleaved,rate=" +
      std::to_string(rate) + " ! omnitranscriber name=t model-path=" + argv[1] + " " +
      (argc > 4 ? argv[4] : "") + " ! fakesink name=out sync=false signal-handoffs=true";
  Run run{gst_parse_launch(launch.c_str(), nullptr)};
  GstElement *in = gst_bin_get_by_name(GST_BIN(run.pipeline), "in"),
             *out = gst_bin_get_by_name(GST_BIN(run.pipeline), "out"),
             *t = gst_bin_get_by_name(GST_BIN(run.pipeline), "t");
  g_signal_connect(out, "handoff", G_CALLBACK(word), &run);
  GstBus* bus = gst_element_get_bus(run.pipeline);
  gst_element_set_state(run.pipeline, GST_STATE_PLAYING);
  GstClock* clock = gst_system_clock_obtain();
  while (!gst_element_get_base_time(run.pipeline)) g_usleep(1000);
  // The checkpoint is there once the element answers for its latency; what is said before that
  // would only measure the loading.
  const GstClockTime base = gst_element_get_base_time(run.pipeline),
                     first = gst_clock_get_time(clock) - base + 3 * GST_SECOND;
  size_t at = head;
  for (int i = 0; i < seconds * 50; ++i) {
    const GstClockTime pts = first + guint64(i) * GST_SECOND / 50;
    // a sound is there when it is over
    GstClockID id = gst_clock_new_single_shot_id(clock, base + pts + GST_SECOND / 50);
    gst_clock_id_wait(id, nullptr);
    gst_clock_id_unref(id);
    if (at + piece > wav.size()) at = head;
    GstBuffer* b = gst_buffer_new_allocate(nullptr, piece, nullptr);
    gst_buffer_fill(b, 0, wav.data() + at, piece);
    GST_BUFFER_PTS(b) = pts;
    GST_BUFFER_DURATION(b) = GST_SECOND / 50;
    at += piece;
    if (i == 0) std::fprintf(stderr, "# first sample at %.3f\n", double(pts) / 1e9);
    if (gst_app_src_push_buffer(GST_APP_SRC(in), b) != GST_FLOW_OK) break;
    if (i % 1500 == 1499) {
      GstStructure* s = nullptr;
      g_object_get(t, "stats", &s, nullptr);
      double p50 = 0, p95 = 0, most = 0;
      guint64 drops = 0;
      gst_structure_get(s, "delay-p50", G_TYPE_DOUBLE, &p50, "delay-p95", G_TYPE_DOUBLE, &p95,
                        "delay-max", G_TYPE_DOUBLE, &most, "drops", G_TYPE_UINT64, &drops, nullptr);
      std::printf("%d s: %" G_GUINT64_FORMAT
                  " words, delay p50 %.0f p95 %.0f max %.0f ms, %" G_GUINT64_FORMAT
                  " drops, %.1f MB\n",
                  (i + 1) / 50, run.words, p50, p95, most, drops, double(resident_kb()) / 1024);
      std::fflush(stdout);
      gst_structure_free(s);
    }
    while (GstMessage* m =
               gst_bus_pop_filtered(bus, GstMessageType(GST_MESSAGE_ERROR | GST_MESSAGE_WARNING))) {
      GError* e = nullptr;
      if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR)
        gst_message_parse_error(m, &e, nullptr);
      else
        gst_message_parse_warning(m, &e, nullptr);
      std::printf("%s\n", e->message);
      g_error_free(e);
      gst_message_unref(m);
    }
  }
  gst_app_src_end_of_stream(GST_APP_SRC(in));
  GstMessage* m = gst_bus_timed_pop_filtered(bus, 30 * GST_SECOND,
                                             GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  if (m) gst_message_unref(m);
  gst_element_set_state(run.pipeline, GST_STATE_NULL);
  for (gpointer o : {gpointer(clock), gpointer(bus), gpointer(in), gpointer(out), gpointer(t),
                     gpointer(run.pipeline)})
    gst_object_unref(o);
}

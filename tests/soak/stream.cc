#include "soak/stream.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace omni_test {
namespace {

#define SOAK_FIXTURE(NAME) "model-path=" OMNI_SOURCE_DIR "/tests/fixtures/" NAME "/checkpoint"
#define SOAK_SOURCE "is-live=true format=time leaky-type=downstream max-bytes=4000000"

struct Kind {
  const char *name, *launch;
};

// What people build of the elements, each with another model.
constexpr Kind kKinds[] = {
    {"bin", "omnibin name=model model-path=" OMNI_SOURCE_DIR "/models/nano "
            "appsrc name=video " SOAK_SOURCE " ! model.sink_video "
            "appsrc name=audio " SOAK_SOURCE " ! model.sink_audio "
            "model.src_text ! fakesink async=false sync=false name=out "
            "model.src_video ! fakesink async=false sync=false"},
    {"boxes",
     "appsrc name=video " SOAK_SOURCE " ! tee name=t "
     "t. ! queue ! omnicombiner name=c ! omnioverlay name=o ! fakesink async=false sync=false "
     "t. ! queue ! omnivideotokenizer ! omnimodel name=model max-tokens=24 "
     "json-schema=boxes " SOAK_FIXTURE(
         "qwen2_5_omni/a") " "
                           "appsrc name=audio " SOAK_SOURCE " ! omniaudiotokenizer ! model. "
                           "model.spatial_0 ! c.spatial  model.text_0 ! tee name=s  s. ! queue ! "
                           "o.text "
                           "s. ! queue ! fakesink async=false sync=false name=out"},
    {"captions",
     "appsrc name=audio " SOAK_SOURCE " ! omnitranscriber name=model " SOAK_FIXTURE(
         "whisper") " ! omnicaptionformat ! tee name=t "
                    "t. ! queue ! omnicea608enc ! fakesink async=false sync=false name=out "
                    "t. ! queue ! omniebuttdenc ! fakesink async=false sync=false"},
    {"speech",
     "appsrc name=audio " SOAK_SOURCE " ! omniaudiotokenizer ! omnimodel name=model max-tokens=16 "
     "model-path=" OMNI_SOURCE_DIR "/models/nano "
     "model.speech_0 ! fakesink async=false sync=false "
     "model.text_0 ! fakesink async=false sync=false name=out"}};

// A moving edge or a tone; `phase` changes it.
GstBuffer* make_buffer(gsize size, bool is_audio, uint64_t phase) {
  GstBuffer* buffer = gst_buffer_new_allocate(nullptr, size, nullptr);
  GstMapInfo map;
  gst_buffer_map(buffer, &map, GST_MAP_WRITE);
  if (is_audio) {
    auto* samples = reinterpret_cast<gint16*>(map.data);
    for (gsize i = 0; i < size / 2; ++i)
      samples[i] = gint16(8000 * std::sin(double(i) * 0.05 * double(1 + phase % 7)));
  } else {
    std::memset(map.data, 16, size);
    std::memset(map.data, 235, size / 2 * (phase % 16) / 16);
  }
  gst_buffer_unmap(buffer, &map);
  return buffer;
}

}  // namespace

SoakStream::SoakStream(int number, uint64_t seed) : number_(number), random_(seed + number) {
  build();
}

SoakStream::~SoakStream() { destroy(); }

const char* SoakStream::name() const { return omni_test::kKinds[number_ % kKinds].name; }

GstPadProbeReturn SoakStream::came_out(GstPad*, GstPadProbeInfo*, gpointer self) {
  g_atomic_int_set(&static_cast<SoakStream*>(self)->alive_, 1);
  return GST_PAD_PROBE_OK;
}

void SoakStream::build() {
  GError* error = nullptr;
  pipeline_ = gst_parse_launch(omni_test::kKinds[number_ % kKinds].launch, &error);
  if (error) g_error("%s: %s", name(), error->message);
  model_ = gst_bin_get_by_name(GST_BIN(pipeline_), "model");
  for (const char* track : {"video", "audio"})
    if (GstElement* source = gst_bin_get_by_name(GST_BIN(pipeline_), track)) {
      tracks_.push_back({source});
      const std::string caps =
          g_str_equal(track, "video")
              ? "video/x-raw,format=GRAY8,framerate=5/1,width=" + std::to_string(picture_) +
                    ",height=" + std::to_string(picture_)
              : "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";
      gst_util_set_object_arg(G_OBJECT(source), "caps", caps.c_str());
    }
  GstElement* out = gst_bin_get_by_name(GST_BIN(pipeline_), "out");
  GstPad* pad = gst_element_get_static_pad(out, "sink");
  gst_pad_add_probe(
      pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      came_out, this, nullptr);
  gst_object_unref(pad);
  gst_object_unref(out);
}

void SoakStream::destroy() {
  stop();
  for (Track& track : tracks_) gst_object_unref(track.source);
  tracks_.clear();
  gst_clear_object(&model_);
  gst_clear_object(&pipeline_);
}

void SoakStream::start() {
  for (Track& track : tracks_) track = {track.source};
  next_ = 0;
  g_atomic_int_set(&alive_, 1);
  if (gst_element_set_state(pipeline_, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE)
    ++counts_.errors;
}

void SoakStream::stop() {
  gst_element_set_state(pipeline_, GST_STATE_NULL);
  GstBus* bus = gst_element_get_bus(pipeline_);
  gst_bus_set_flushing(bus, TRUE);
  gst_bus_set_flushing(bus, FALSE);
  gst_object_unref(bus);
}

GstClockTime SoakStream::now() const {
  GstClock* clock = gst_element_get_clock(pipeline_);
  if (!clock) return 0;
  const GstClockTime time = gst_clock_get_time(clock), base = gst_element_get_base_time(pipeline_);
  gst_object_unref(clock);
  return time > base ? time - base : 0;
}

GstClockTime SoakStream::draw(GstClockTime low, GstClockTime high) {
  return std::uniform_int_distribution<GstClockTime>(low, high)(random_);
}

void SoakStream::push(Track& track, GstClockTime at) {
  if (at < track.silent_until) return;
  const bool is_audio = g_str_equal(GST_OBJECT_NAME(track.source), "audio");
  GstBuffer* buffer =
      make_buffer(is_audio ? 6400 : gsize(picture_) * picture_, is_audio, at / kTick);
  const gint64 stamp = gint64(at) + track.offset;
  if (track.n_unstamped > 0)
    --track.n_unstamped;
  else
    GST_BUFFER_PTS(buffer) = GstClockTime(std::max<gint64>(0, stamp));
  GST_BUFFER_DURATION(buffer) = kTick;
  GstFlowReturn flow = GST_FLOW_OK;
  g_signal_emit_by_name(track.source, "push-buffer", buffer, &flow);
  gst_buffer_unref(buffer);
  ++counts_.buffers;
}

void SoakStream::tick() {
  static const std::pair<const char*, Fault> kFaults[] = {{"stall", &SoakStream::stall},
                                                          {"drop", &SoakStream::drop},
                                                          {"jump", &SoakStream::jump},
                                                          {"jump home", &SoakStream::jump_home},
                                                          {"no stamps", &SoakStream::lose_stamps},
                                                          {"reconnect", &SoakStream::reconnect},
                                                          {"flush", &SoakStream::flush},
                                                          {"caps", &SoakStream::change_caps},
                                                          {"gap", &SoakStream::say_gap},
                                                          {"signal", &SoakStream::signal},
                                                          {"restart", &SoakStream::restart},
                                                          {"rebuild", &SoakStream::rebuild}};
  for (const GstClockTime time = now(); next_ <= time; next_ += kTick)
    for (Track& track : tracks_) push(track, next_);
  if (random_() % 60 == 0) {
    const auto& [what, fault] = kFaults[random_() % std::size(kFaults)];
    ++counts_.faults[what];
    (this->*fault)(tracks_[random_() % tracks_.size()]);
  }
  read_bus();
}

// --- faults

void SoakStream::stall(Track& track) {
  track.silent_until = next_ + draw(GST_SECOND, 9 * GST_SECOND);
}

void SoakStream::drop(Track& track) { track.silent_until = next_ + draw(1, 4) * kTick; }

void SoakStream::jump(Track& track) {
  const gint64 most = random_() % 2 ? gint64(5 * GST_SECOND) : gint64(90000 * GST_SECOND);
  const gint64 by = gint64(draw(0, GstClockTime(most))) - most / 4;
  for (Track& t : tracks_)
    if (&t == &track || random_() % 2) t.offset += by;
}

void SoakStream::jump_home(Track&) {
  for (Track& t : tracks_) t.offset = 0;
}

void SoakStream::lose_stamps(Track& track) { track.n_unstamped = int(draw(1, 20)); }

// The source goes and comes again, as one that lost its network does: another stream-start.
void SoakStream::reconnect(Track& track) {
  gst_element_set_state(track.source, GST_STATE_READY);
  gst_element_sync_state_with_parent(track.source);
}

void SoakStream::flush(Track& track) {
  gst_element_send_event(track.source, gst_event_new_flush_start());
  gst_element_send_event(track.source, gst_event_new_flush_stop(FALSE));
}

void SoakStream::change_caps(Track&) {
  picture_ = picture_ == 112 ? 84 : 112;
  for (Track& t : tracks_)
    if (g_str_equal(GST_OBJECT_NAME(t.source), "video"))
      gst_util_set_object_arg(G_OBJECT(t.source), "caps",
                              ("video/x-raw,format=GRAY8,framerate=5/1,width=" +
                               std::to_string(picture_) + ",height=" + std::to_string(picture_))
                                  .c_str());
}

void SoakStream::say_gap(Track& track) {
  const GstClockTime length = draw(1, 20) * kTick;
  GstPad* pad = gst_element_get_static_pad(track.source, "src");
  gst_pad_push_event(
      pad,
      gst_event_new_gap(GstClockTime(std::max<gint64>(0, gint64(next_) + track.offset)), length));
  gst_object_unref(pad);
  track.silent_until = next_ + length;
}

void SoakStream::restart(Track&) {
  gst_element_set_state(pipeline_, random_() % 2 ? GST_STATE_NULL : GST_STATE_READY);
  start();
}

void SoakStream::rebuild(Track&) {
  destroy();
  build();
  start();
}

void SoakStream::signal(Track&) {
  if (!g_signal_lookup("ask", G_OBJECT_TYPE(model_))) return;
  switch (random_() % 3) {
    case 0:
      return g_signal_emit_by_name(model_, "ask", "What is there?");
    case 1:
      return g_signal_emit_by_name(model_, "interrupt");
    default:
      return g_signal_emit_by_name(model_, "reset");
  }
}

// --- what comes out

void SoakStream::read_bus() {
  GstBus* bus = gst_element_get_bus(pipeline_);
  bool failed = false;
  while (GstMessage* m = gst_bus_pop(bus)) {
    failed |= GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR;
    take(m);
    gst_message_unref(m);
  }
  gst_object_unref(bus);
  if (failed) restart(tracks_.front());
  if (g_atomic_int_compare_and_exchange(&alive_, 1, 0)) heard_ = g_get_monotonic_time();
}

void SoakStream::take(GstMessage* message) {
  counts_.warnings += GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING;
  counts_.overdue += GST_MESSAGE_TYPE(message) == GST_MESSAGE_QOS;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    GError* error = nullptr;
    gchar* debug = nullptr;
    gst_message_parse_error(message, &error, &debug);
    ++counts_.errors;
    std::printf("FAILED: %s: %s (%s)\n", name(), error->message, debug ? debug : "");
    g_error_free(error);
    g_free(debug);
  }
  if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ELEMENT ||
      !gst_message_has_name(message, "omni/answer"))
    return;
  ++counts_.answers;
  guint64 start = 0, duration = 0;
  const GstStructure* s = gst_message_get_structure(message);
  gst_structure_get(s, "running-time", G_TYPE_UINT64, &start, "duration", G_TYPE_UINT64, &duration,
                    nullptr);
  delays_.push_back((double(now()) - double(start + duration)) / GST_SECOND);
}

std::vector<double> SoakStream::take_delays() {
  std::vector<double> taken;
  taken.swap(delays_);
  return taken;
}

double SoakStream::silence() const {
  return double(g_get_monotonic_time() - heard_) / G_USEC_PER_SEC;
}

}  // namespace omni_test

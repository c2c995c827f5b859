// bench_conversation MODEL [--turn-model DIR] [--turn-silence MS] [--alone] [--most N] FOLDER: how
// long after the end of what somebody said the first sound of an answer leaves, live, about 720p at
// 30 frames a second, beside another pipeline of such video that is captioned, overlaid and encoded
// (--alone: without). FOLDER is what `tools/check/turn_ends.py --keep` writes: 16 kHz WAV files,
// and told.txt, which says when the last word of each ends; those are said in which nobody pauses.
// Times are of the pipeline's clock.
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "vad/speech.h"

namespace {

constexpr int kRate = 16000, kPiece = kRate / 100;
constexpr GstClockTime kLongest = 12 * GST_SECOND;  // that an answer is waited for
constexpr GstClockTime kRest = GST_SECOND;          // behind an answer
constexpr GstClockTime kTick = GST_SECOND / 100;

struct Options {
  std::string model, turn_model, folder;
  int turn_silence = 500;
  size_t most = SIZE_MAX;
  bool alone = false;
};

struct Said {
  std::string name;
  std::vector<float> samples;
  GstClockTime end = 0;  // of its last word, from its beginning
};

std::vector<Said> read_folder(const Options& o) {
  std::vector<Said> out;
  std::ifstream told(o.folder + "/told.txt");
  double pause = 0, begin = 0, end = 0;
  for (std::string name; out.size() < o.most && told >> name >> pause >> begin >> end;)
    if (pause == 0)
      out.push_back({name, omni::samples_of((o.folder + "/" + name).c_str()),
                     GstClockTime(end * GST_SECOND)});
  return out;
}

// Of one question.
struct Times {
  std::optional<GstClockTime> known, first_sound;  // when the turn was over, when sound left
  guint64 written = 0;                             // from the question to the end of its text
};

const std::string kCamera =
    "videotestsrc is-live=true pattern=ball ! "
    "video/x-raw,format=I420,width=1280,height=720,framerate=30/1 ! queue ! ";

class Conversation {
 public:
  explicit Conversation(const Options& o) {
    std::string line =
        "appsrc name=microphone is-live=true format=time min-latency=10000000 "
        "caps=audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved ! "
        "talk.sink_audio " +
        kCamera +
        "talk.sink_video omnibin name=talk trigger=turn remember=true max-tokens=64 model-path=" +
        o.model + " turn-silence=" + std::to_string(o.turn_silence) +
        (o.turn_model.empty() ? "" : " turn-model-path=" + o.turn_model) +
        " talk.src_speech ! audioconvert ! fakesink sync=true async=false";
    pipeline_ = parse(line);
    if (!o.alone)
      beside_ =
          parse(kCamera + "captions.sink_video omnibin name=captions model-path=" + o.model +
                " captions.src_video ! overlay.sink omnioverlay name=overlay ! videoconvert ! "
                "x264enc tune=zerolatency speed-preset=ultrafast ! fakesink sync=true "
                "captions.src_text ! overlay.text");
    talk_ = gst_bin_get_by_name(GST_BIN(pipeline_), "talk");
    microphone_ = gst_bin_get_by_name(GST_BIN(pipeline_), "microphone");
    probe(gst_element_get_static_pad(talk_, "src_speech"), GST_PAD_PROBE_TYPE_BUFFER, on_sound);
    GstElement* model = gst_bin_get_by_name(GST_BIN(talk_), "model");
    probe(gst_element_get_static_pad(model, "audio_0"), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
          on_event);
    gst_object_unref(model);
    gst_element_set_state(pipeline_, GST_STATE_PLAYING);
    if (beside_) gst_element_set_state(beside_, GST_STATE_PLAYING);
  }
  ~Conversation() {
    for (gpointer p : {gpointer(talk_), gpointer(microphone_)}) gst_object_unref(p);
    for (GstElement* p : {pipeline_, beside_})
      if (p) {
        gst_element_set_state(p, GST_STATE_NULL);
        gst_object_unref(p);
      }
  }

  // Said in the pace of the clock, then silence until the answer is over.
  Times say(const Said& said) {
    begin_ = n_fed_ * GST_SECOND / kRate;
    {
      std::lock_guard guard(lock_);
      times_ = {};
      over_ = false;
    }
    for (size_t at = 0; at < said.samples.size(); at += kPiece) {
      const size_t n = std::min<size_t>(kPiece, said.samples.size() - at);
      feed(said.samples.data() + at, n);
    }
    const GstClockTime most = begin_ + said.end + kLongest;
    while (now() < most && !is_over()) be_silent();
    const GstClockTime rest = now() + kRest;
    while (now() < rest) be_silent();
    std::lock_guard guard(lock_);
    return times_;
  }
  void be_silent() {
    static const std::vector<float> silence(kPiece);
    feed(silence.data(), silence.size());
  }
  GstClockTime begin() const { return begin_; }
  GstStructure* stats() const {
    GstStructure* s = nullptr;
    g_object_get(talk_, "stats", &s, nullptr);
    return s;
  }
  // False: a pipeline has failed.
  bool is_well() { return take_messages(pipeline_) && (!beside_ || take_messages(beside_)); }

 private:
  static GstElement* parse(const std::string& line) {
    GError* error = nullptr;
    GstElement* pipeline = gst_parse_launch(line.c_str(), &error);
    if (error) {
      std::fprintf(stderr, "%s\n", error->message);
      std::exit(1);
    }
    return pipeline;
  }
  static void probe(GstPad* pad, GstPadProbeType type, GstPadProbeCallback callback, void* data) {
    gst_pad_add_probe(pad, type, callback, data, nullptr);
    gst_object_unref(pad);
  }
  void probe(GstPad* pad, GstPadProbeType type, GstPadProbeCallback callback) {
    probe(pad, type, callback, this);
  }
  static GstPadProbeReturn on_sound(GstPad*, GstPadProbeInfo*, gpointer data) {
    auto& self = *static_cast<Conversation*>(data);
    std::lock_guard guard(self.lock_);
    if (!self.times_.first_sound) self.times_.first_sound = self.now();
    return GST_PAD_PROBE_OK;
  }
  static GstPadProbeReturn on_event(GstPad*, GstPadProbeInfo* info, gpointer data) {
    auto& self = *static_cast<Conversation*>(data);
    GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
    if (!gst_event_has_name(event, "omni-turn-ended")) return GST_PAD_PROBE_OK;
    std::lock_guard guard(self.lock_);
    if (!self.times_.known) self.times_.known = self.now();
    return GST_PAD_PROBE_OK;
  }
  bool take_messages(GstElement* pipeline) {
    bool failed = false;
    GstBus* bus = gst_element_get_bus(pipeline);
    while (GstMessage* m = gst_bus_pop(bus)) {
      if (gst_message_has_name(m, "omni/speech")) {
        std::lock_guard guard(lock_);
        over_ = true;
      }
      if (pipeline == pipeline_ && gst_message_has_name(m, "omni/answer")) {
        std::lock_guard guard(lock_);
        gst_structure_get_uint64(gst_message_get_structure(m), "total", &times_.written);
      }
      const bool is_error = GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR;
      if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_LATENCY)
        gst_bin_recalculate_latency(GST_BIN(pipeline));
      if (is_error || GST_MESSAGE_TYPE(m) == GST_MESSAGE_WARNING) {
        GError* e = nullptr;
        (is_error ? gst_message_parse_error : gst_message_parse_warning)(m, &e, nullptr);
        std::fprintf(stderr, "%s\n", e->message);
        g_error_free(e);
      }
      failed |= is_error;
      gst_message_unref(m);
    }
    gst_object_unref(bus);
    return !failed;
  }
  GstClockTime now() const { return gst_element_get_current_running_time(pipeline_); }
  bool is_over() {
    if (!is_well()) std::exit(1);
    std::lock_guard guard(lock_);
    return over_;
  }
  // As a microphone does: a piece is there when its last sample has been heard.
  void feed(const float* samples, size_t n) {
    GstBuffer* buffer = gst_buffer_new_memdup(samples, n * sizeof(float));
    GST_BUFFER_PTS(buffer) = gst_util_uint64_scale(n_fed_, GST_SECOND, kRate);
    GST_BUFFER_DURATION(buffer) = gst_util_uint64_scale(n, GST_SECOND, kRate);
    n_fed_ += n;
    const GstClockTime end = gst_util_uint64_scale(n_fed_, GST_SECOND, kRate);
    for (GstClockTime t = now(); !GST_CLOCK_TIME_IS_VALID(t) || t < end; t = now())
      std::this_thread::sleep_for(std::chrono::nanoseconds(
          GST_CLOCK_TIME_IS_VALID(t) ? std::min<GstClockTime>(end - t, kTick) : kTick));
    gst_app_src_push_buffer(GST_APP_SRC(microphone_), buffer);
  }

  GstElement *pipeline_, *beside_ = nullptr, *talk_, *microphone_;
  guint64 n_fed_ = 0;
  GstClockTime begin_ = 0;
  std::mutex lock_;
  Times times_;
  bool over_ = false;
};

void print(const char* what, std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  if (ms.empty()) return;
  const auto at = [&](double p) { return ms[size_t(p * double(ms.size() - 1) + .5)]; };
  std::printf("%-34s %3zu: p50 %.0f ms, p95 %.0f ms, most %.0f ms\n", what, ms.size(), at(.5),
              at(.95), ms.back());
}

Options options_of(int argc, char** argv) {
  Options o;
  std::vector<std::string> plain;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const bool has_value = i + 1 < argc;
    if (a == "--alone")
      o.alone = true;
    else if (a == "--turn-model" && has_value)
      o.turn_model = argv[++i];
    else if (a == "--turn-silence" && has_value)
      o.turn_silence = std::atoi(argv[++i]);
    else if (a == "--most" && has_value)
      o.most = size_t(std::atoi(argv[++i]));
    else
      plain.push_back(a);
  }
  if (plain.size() != 2) {
    std::fprintf(stderr,
                 "usage: bench_conversation MODEL [--turn-model DIR] [--turn-silence MS] [--alone] "
                 "[--most N] FOLDER\n");
    std::exit(2);
  }
  o.model = plain[0], o.folder = plain[1];
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  const Options o = options_of(argc, argv);
  Conversation talk(o);
  for (int i = 0; i < 500; ++i) talk.be_silent();  // while everything is loaded
  std::vector<double> known, written, answered, whole;
  size_t n_cut = 0, n_silent = 0;
  for (const Said& said : read_folder(o)) {
    const Times t = talk.say(said);
    const GstClockTime end = talk.begin() + said.end;
    const auto ms = [](GstClockTime from, GstClockTime to) {
      return (double(to) - double(from)) / double(GST_MSECOND);
    };
    if (t.known && *t.known + 50 * GST_MSECOND < end) {
      ++n_cut;
    } else if (!t.known || !t.first_sound) {
      ++n_silent;
    } else {
      known.push_back(ms(end, *t.known));
      written.push_back(ms(0, t.written));
      answered.push_back(ms(*t.known, *t.first_sound));
      whole.push_back(ms(end, *t.first_sound));
    }
  }
  if (!talk.is_well()) return 1;
  print("end of speech to its being known", known);
  print("  of the rest its text takes", written);
  print("from there to the first sound", answered);
  print("end of speech to the first sound", whole);
  GstStructure* s = talk.stats();
  guint64 underruns = 0, spoken = 0;
  gst_structure_get_uint64(s, "underruns", &underruns);
  gst_structure_get_uint64(s, "spoken", &spoken);
  gst_structure_free(s);
  std::printf("%zu cut off, %zu without an answer; %" G_GUINT64_FORMAT
              " answers spoken, %" G_GUINT64_FORMAT " underruns\n",
              n_cut, n_silent, spoken, underruns);
  return 0;
}

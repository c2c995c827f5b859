/**
 * element-omnicaptionformat:
 *
 * Words in, captions that can be read out: lines of even length that break at clauses, at most
 * `lines` of `columns`, ended by a sentence, a pause or another speaker, shown for as long as they
 * take to read. Takes single words with their times (omnitranscriber) and whole texts (omnimodel),
 * whose words then share their time.
 *
 * A text in brackets, `[music]`, is the name of a sound: it becomes a caption of its own, in
 * capitals. The event `rstranscribe/speaker-change` makes the next word begin a caption with `>>`.
 *
 * Captions do not overlap; between them there are GAPs. The caps of what leaves say `unit=line`,
 * from which omnicea608enc knows that each buffer begins a row. A caption carries the
 * GstOmniAnswerMeta of each answer that it is made of.
 *
 * Latency of a live stream: + `maximum-duration`, since a caption leaves when it is complete. Below
 * 3 s it is for captions that follow speech closely. A text without a duration waits, besides,
 * until the next text or until it is read.
 *
 * ## Example
 * |[
 * gst-launch-1.0 filesrc location=examples/media/jfk.wav ! wavparse ! omnitranscriber
 * model-path=models/whisper-base ! omnicaptionformat ! srtenc ! fakesink dump=true
 * ]|
 */
#include "captions/gstomnicaptionformat.h"

#include <algorithm>
#include <deque>
#include <memory>

#include "omni/captions.h"
#include "streams/gstomnianswermeta.h"
#include "streams/gstomnitextfilter.h"

namespace {

constexpr size_t kMostAnswers = 1024;  // kept for captions to come

class CaptionFormat final : public GstOmniTextFilter {
 public:
  struct Settings : GstOmniSettings {
    guint columns = 37, lines = 2, minimum_duration = 1000, maximum_duration = 6000, pause = 1000;
    double reading_speed = 20;
    bool line_ends = false;
  };

  CaptionFormat(GstElement* element, GstElementClass* klass) : GstOmniTextFilter(element, klass) {}

  static const GstOmniProperties<Settings>& properties() {
    static const GstOmniProperties<Settings> table({
        {"columns", "Columns",
         "Most characters in a line: 32 for CEA-608, 37 for teletext, 42 for the web",
         &Settings::columns, 1, 200},
        {"lines", "Lines", "Most lines of a caption", &Settings::lines, 1, 15},
        {"reading-speed", "Reading speed",
         "Characters a second for which a caption is shown at least, where the speech lets it (0 = "
         "no limit)",
         &Settings::reading_speed, 0, 1000},
        {"minimum-duration", "Minimum duration",
         "Shortest time that a caption is shown, in ms, where the speech lets it",
         &Settings::minimum_duration, 0, 60000},
        {"maximum-duration", "Maximum duration",
         "Longest time that a caption is shown, in ms; the latency of a live stream",
         &Settings::maximum_duration, 100, 60000},
        {"pause", "Pause", "Silence behind which a new caption begins, in ms", &Settings::pause, 0,
         60000},
        {"line-ends", "Line ends",
         "Each caption ends with a line end: to be read at a terminal (fdsink)",
         &Settings::line_ends},
    });
    return table;
  }

  static const std::vector<GstOmniReading<CaptionFormat>>& readings() {
    return gst_omni_text_filter_readings<CaptionFormat>();
  }

  static void describe(GstElementClass* klass) {
    gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
                          "text/x-raw, format=(string)utf8");
    gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS,
                          "text/x-raw, format=(string)utf8, unit=(string)line");
    gst_omni_set_metadata(klass, "Omni caption format", "Filter/Text",
                          "Words to captions: lines, breaks, reading time");
  }

  GstStructure* stats() {
    std::lock_guard guard(settings.lock);
    return gst_structure_new("stats", "captions", G_TYPE_UINT64, n_captions_, "too-fast",
                             G_TYPE_UINT64, n_too_fast_, nullptr);
  }

  Settings settings;

 protected:
  CapsPtr output_caps(GstCaps*) override {
    return CapsPtr(gst_caps_from_string("text/x-raw, format=(string)utf8, unit=(string)line"));
  }

  void begin(const GstSegment& segment) override {
    omni::CaptionLayout layout;
    {
      std::lock_guard guard(settings.lock);
      layout.columns = int(settings.columns), layout.lines = int(settings.lines);
      layout.reading_speed = settings.reading_speed;
      layout.minimum_duration =
          omni::Nanoseconds(std::min(settings.minimum_duration, settings.maximum_duration)) *
          GST_MSECOND;
      layout.maximum_duration = omni::Nanoseconds(settings.maximum_duration) * GST_MSECOND;
      layout.pause = omni::Nanoseconds(settings.pause) * GST_MSECOND;
    }
    formatter_ = omni::make_caption_formatter(layout);
    answers_.clear();
    n_texts_ = 0;
    position_ = segment.start;
  }

  void text(const std::string& text, GstClockTime start, GstClockTime duration,
            GstBuffer* source) override {
    if (gst_omni_has_answer(source)) {
      answers_.push_back({n_texts_, BufferPtr(gst_buffer_ref(source))});
      if (answers_.size() > kMostAnswers) answers_.pop_front();
    }
    ++n_texts_;
    send(formatter_->push(text, omni::Nanoseconds(start), omni::Nanoseconds(duration)));
  }
  void advance(GstClockTime time) override { send(formatter_->advance(omni::Nanoseconds(time))); }
  void finish() override { send(formatter_->finish()); }
  void reset() override {
    formatter_.reset();
    answers_.clear();
  }
  GstClockTime latency() override {
    std::lock_guard guard(settings.lock);
    return settings.maximum_duration * GST_MSECOND;
  }

  bool event(GstEvent* event) override {
    if (formatter_ && gst_event_has_name(event, "rstranscribe/speaker-change"))
      formatter_->change_speaker();
    return false;
  }

 private:
  void send(const std::vector<omni::Caption>& captions) {
    bool line_ends = false;
    {
      std::lock_guard guard(settings.lock);
      line_ends = settings.line_ends;
      n_captions_ += captions.size();
      n_too_fast_ = guint64(formatter_->too_fast());
    }
    for (const omni::Caption& c : captions) {
      push_gap(position_, GstClockTime(c.start));
      const std::string text = line_ends ? c.text + "\n" : c.text;
      BufferPtr buffer =
          gst_omni_text_buffer(text, GstClockTime(c.start), GstClockTime(c.duration));
      add_answers(c, buffer.get());
      push(std::move(buffer));
      position_ = GstClockTime(c.start + c.duration);
    }
    const auto settled = GstClockTime(formatter_->settled());
    push_gap(position_, settled);
    position_ = std::max(position_, settled);
  }

  // A caption answers what the texts answer that it is made of.
  void add_answers(const omni::Caption& c, GstBuffer* buffer) {
    while (!answers_.empty() && answers_.front().index < c.first_text) answers_.pop_front();
    for (const Answer& a : answers_)
      if (a.index <= c.last_text) gst_omni_copy_answers(a.source.get(), buffer);
  }

  struct Answer {
    int64_t index;  // of the text among those of the formatter
    BufferPtr source;
  };

  std::unique_ptr<omni::CaptionFormatter> formatter_;
  std::deque<Answer> answers_;  // texts that carry one, and may be part of a caption to come
  int64_t n_texts_ = 0;
  GstClockTime position_ = 0;                // up to which something has left
  guint64 n_captions_ = 0, n_too_fast_ = 0;  // under the settings' lock
};

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnicaptionformat, "omnicaptionformat", GST_RANK_NONE,
                            gst_omni_element_type<CaptionFormat>("GstOmniCaptionFormat"));

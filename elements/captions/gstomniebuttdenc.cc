/**
 * element-omniebuttdenc:
 *
 * Captions to an EBU-TT-D document (EBU Tech 3380), the TTML that broadcasters and the web
 * exchange: white on a dark box, centred at the bottom, each caption a paragraph with its time. Put
 * omnicaptionformat ahead, so that there are lines. The document is written as the captions come
 * and closed at the end; a file that was cut off wants `</tt:div></tt:body></tt:tt>`.
 *
 * Latency: 0; a text without a duration leaves when the next comes or when it is read.
 *
 * ## Example
 * |[
 * gst-launch-1.0 filesrc location=examples/media/jfk.wav ! wavparse ! omnitranscriber
 * model-path=models/whisper-base ! omnicaptionformat ! omniebuttdenc language=en ! filesink
 * location=captions.xml
 * ]|
 */
#include "captions/gstomniebuttdenc.h"

#include <utility>

#include "omni/captions.h"
#include "streams/gstomnitextfilter.h"

namespace {

class EbuTtDEnc final : public GstOmniTextFilter {
 public:
  struct Settings : GstOmniSettings {
    std::string language = "en";
  };

  EbuTtDEnc(GstElement* element, GstElementClass* klass) : GstOmniTextFilter(element, klass) {}

  static const GstOmniProperties<Settings>& properties() {
    static const GstOmniProperties<Settings> table(
        {{"language", "Language", "Language of the text, as in `en` or `pt-BR`",
          &Settings::language}});
    return table;
  }

  static const std::vector<GstOmniReading<EbuTtDEnc>>& readings() {
    return gst_omni_text_filter_readings<EbuTtDEnc>();
  }

  static void describe(GstElementClass* klass) {
    gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
                          "text/x-raw, format=(string)utf8");
    gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS, "application/ttml+xml");
    gst_omni_set_metadata(klass, "Omni EBU-TT-D encoder", "Encoder/Subtitle",
                          "Captions to an EBU-TT-D document");
  }

  GstStructure* stats() {
    std::lock_guard guard(settings.lock);
    return gst_structure_new("stats", "captions", G_TYPE_UINT64, n_captions_, nullptr);
  }

  Settings settings;

 protected:
  CapsPtr output_caps(GstCaps*) override {
    return CapsPtr(gst_caps_new_empty_simple("application/ttml+xml"));
  }

  void begin(const GstSegment& segment) override {
    segment_ = segment;
    position_ = segment.start;
  }

  void text(const std::string& text, GstClockTime start, GstClockTime duration,
            GstBuffer*) override {
    if (text.empty()) return;
    open(start);
    const guint64 media = gst_segment_to_stream_time(&segment_, GST_FORMAT_TIME, start);
    guint64 number = 0;
    {
      std::lock_guard guard(settings.lock);
      number = ++n_captions_;
    }
    push(gst_omni_text_buffer(
        omni::ebu_tt_d_paragraph(
            {text, omni::Nanoseconds(GST_CLOCK_TIME_IS_VALID(media) ? media : start),
             omni::Nanoseconds(duration)},
            int64_t(number)),
        start, duration));
    position_ = start + duration;
  }
  void advance(GstClockTime time) override {
    push_gap(position_, time);
    position_ = std::max(position_, time);
  }
  void finish() override {
    open(position_);
    push(gst_omni_text_buffer(omni::ebu_tt_d_tail(), position_, 0));
    reset();
  }
  void reset() override { open_ = false; }

 private:
  void open(GstClockTime time) {
    if (std::exchange(open_, true)) return;
    std::string language;
    {
      std::lock_guard guard(settings.lock);
      language = settings.language;
      n_captions_ = 0;
    }
    push(gst_omni_text_buffer(omni::ebu_tt_d_head(language), time, 0));
  }

  bool open_ = false;
  GstSegment segment_{};
  GstClockTime position_ = 0;
  guint64 n_captions_ = 0;  // under the settings' lock
};

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omniebuttdenc, "omniebuttdenc", GST_RANK_NONE,
                            gst_omni_element_type<EbuTtDEnc>("GstOmniEbuTtDEnc"));

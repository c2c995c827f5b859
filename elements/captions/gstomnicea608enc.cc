/**
 * element-omnicea608enc:
 *
 * Text to CEA-608 closed captions, raw, as S334-1A lines, or as the cc_data of CEA-708, which
 * carries them. cccombiner puts them on video, x264enc writes them into its stream.
 *
 * `mode=roll-up-2` to `roll-up-4` take words as they come (omnitranscriber) and fill rows with
 * them; text that omnicaptionformat made begins rows of its own. `pop-on` shows each buffer as a
 * caption from its PTS to its end and loads it ahead of its time; put omnicaptionformat with
 * columns=32 in front. `paint-on` writes it in its place. CC1 and CC2 are in field 1, CC3 and CC4
 * in field 2, which raw CEA-608 has not.
 *
 * Text without a duration stays until the next, or for the time that it takes to read.
 *
 * Two bytes a frame leave, at most 30 times a second. Text for which that is too little comes late,
 * none is dropped: `stats` and one warning tell of it. Characters that CEA-608 has not become their
 * nearest letter, or `?`.
 *
 * Latency of a live stream: + 1.6 s for pop-on (the time to load a caption), 0 for the others.
 *
 * ## Example
 * |[
 * gst-launch-1.0 filesrc location=examples/media/jfk.wav ! wavparse ! omnitranscriber
 * model-path=models/whisper-base ! omnicea608enc ! closedcaption/x-cea-608,format=raw ! filesink
 * location=captions.608
 * ]|
 */
#include "captions/gstomnicea608enc.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "omni/captions.h"
#include "streams/gstomnitextfilter.h"

namespace {

constexpr GstClockTime kLoading = 1600 * GST_MSECOND;  // of a pop-on caption: two full rows
constexpr GstClockTime kMuchTooLate = 3 * GST_SECOND;  // a warning
// a longer time without captions is a GAP rather than empty pairs
constexpr GstClockTime kIdle = GST_SECOND;

GType mode_get_type() {
  static const GEnumValue values[] = {
      {int(omni::Cea608Mode::pop_on), "captions appear whole, in their time", "pop-on"},
      {int(omni::Cea608Mode::paint_on), "captions are written in their place", "paint-on"},
      {int(omni::Cea608Mode::roll_up_2), "two rows that roll up", "roll-up-2"},
      {int(omni::Cea608Mode::roll_up_3), "three rows that roll up", "roll-up-3"},
      {int(omni::Cea608Mode::roll_up_4), "four rows that roll up", "roll-up-4"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniCea608Mode", values);
  return type;
}

GType channel_get_type() {
  static const GEnumValue values[] = {{1, "field 1, first", "cc1"},
                                      {2, "field 1, second", "cc2"},
                                      {3, "field 2, first", "cc3"},
                                      {4, "field 2, second", "cc4"},
                                      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniCea608Channel", values);
  return type;
}

constexpr const char* kRaw =
    "closedcaption/x-cea-608, format=(string)raw, framerate=(fraction)[ 1/1, 120/1 ]";
constexpr const char* kOthers =
    "closedcaption/x-cea-608, format=(string)s334-1a, framerate=(fraction)[ 1/1, 120/1 ]; "
    "closedcaption/x-cea-708, format=(string)cc_data, framerate=(fraction)[ 1/1, 120/1 ]";

class Cea608Enc final : public GstOmniTextFilter {
 public:
  struct Settings : GstOmniSettings {
    int mode = int(omni::Cea608Mode::roll_up_2), channel = 1;
    guint row = 15, display_time = 8000;
    bool centred = false;
  };

  Cea608Enc(GstElement* element, GstElementClass* klass) : GstOmniTextFilter(element, klass) {}

  static const GstOmniProperties<Settings>& properties() {
    static const GstOmniProperties<Settings> table({
        {"mode", "Mode", "How captions come to the screen", &Settings::mode, 0, 0,
         GstOmniMutable::ready, mode_get_type},
        {"channel", "Channel", "Caption channel", &Settings::channel, 0, 0, GstOmniMutable::ready,
         channel_get_type},
        {"row", "Row", "Bottom row of the captions, of 15", &Settings::row, 1, 15},
        {"centred", "Centred",
         "Lines of pop-on and paint-on captions stand in the middle, not at the left edge",
         &Settings::centred},
        {"display-time", "Display time",
         "Roll-up, and words painted on: how long the last text stays when no more comes, in ms",
         &Settings::display_time, 100, 600000},
    });
    return table;
  }

  static const std::vector<GstOmniReading<Cea608Enc>>& readings() {
    return gst_omni_text_filter_readings<Cea608Enc>();
  }

  static void describe(GstElementClass* klass) {
    gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
                          "text/x-raw, format=(string)utf8");
    gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS,
                          (std::string(kRaw) + "; " + kOthers).c_str());
    gst_omni_set_metadata(klass, "Omni CEA-608 encoder", "Encoder/Subtitle",
                          "Text to CEA-608 closed captions, also in CEA-708 cc_data");
    gst_type_mark_as_plugin_api(mode_get_type(), GstPluginAPIFlags(0));
    gst_type_mark_as_plugin_api(channel_get_type(), GstPluginAPIFlags(0));
  }

  // Delays in ms: of the text that is being sent, and the longest.
  GstStructure* stats() {
    std::lock_guard guard(settings.lock);
    return gst_structure_new("stats", "texts", G_TYPE_UINT64, n_texts_, "unmapped", G_TYPE_UINT64,
                             n_unmapped_, "delay", G_TYPE_UINT, guint(lag_ / GST_MSECOND),
                             "delay-max", G_TYPE_UINT, guint(most_lag_ / GST_MSECOND), nullptr);
  }

  Settings settings;

 protected:
  CapsPtr output_caps(GstCaps* input) override {
    const gchar* unit = gst_structure_get_string(gst_caps_get_structure(input, 0), "unit");
    lines_ = unit && std::string_view(unit) == "line";
    int channel = 1;
    {
      std::lock_guard guard(settings.lock);
      channel = settings.channel;
    }
    CapsPtr mine(
        gst_caps_from_string(channel > 2 ? kOthers : (std::string(kRaw) + "; " + kOthers).c_str())),
        theirs(gst_pad_peer_query_caps(src_, nullptr));
    CapsPtr both(gst_caps_intersect_full(theirs.get(), mine.get(), GST_CAPS_INTERSECT_FIRST));
    if (gst_caps_is_empty(both.get()))
      throw omni::Error(omni::ErrorCode::unsupported,
                        channel > 2 ? "CC3 and CC4 travel in field 2: they need S334-1A or CEA-708 "
                                      "cc_data, which the next element does not take"
                                    : "the next element takes no CEA-608 captions");
    CapsPtr caps(gst_caps_truncate(both.release()));
    caps.reset(gst_caps_make_writable(caps.release()));
    GstStructure* s = gst_caps_get_structure(caps.get(), 0);
    gst_structure_fixate_field_nearest_fraction(s, "framerate", 30, 1);
    caps.reset(gst_caps_fixate(caps.release()));
    s = gst_caps_get_structure(caps.get(), 0);
    const std::string_view format = gst_structure_get_string(s, "format");
    format_ = format == "raw" ? Format::raw : format == "cc_data" ? Format::cc_data : Format::s334;
    gint n = 30, d = 1;
    gst_structure_get_fraction(s, "framerate", &n, &d);
    // Line 21 has 30 frames a second; faster video carries a pair in every second frame or fewer.
    const int every = (n + 31 * d - 1) / (31 * d);
    rate_n_ = n, rate_d_ = guint64(d) * guint64(every);
    field_2_ = channel > 2;
    return caps;
  }

  void begin(const GstSegment& segment) override {
    omni::Cea608Options o;
    std::lock_guard guard(settings.lock);
    o.mode = omni::Cea608Mode(settings.mode);
    o.channel = settings.channel;
    o.row = int(settings.row);
    o.centred = settings.centred;
    o.keep_frames = int64_t(
        gst_util_uint64_scale(settings.display_time * GST_MSECOND, rate_n_, rate_d_ * GST_SECOND));
    ahead_ = o.mode == omni::Cea608Mode::pop_on ? kLoading : 0;
    encoder_ = omni::make_cea608_encoder(o);
    origin_ = segment.start;
    next_ = 0;
    n_texts_ = n_unmapped_ = 0;
    lag_ = most_lag_ = 0;
    warned_late_ = warned_unmapped_ = false;
  }

  bool waits_for_end() const override { return false; }  // the next caption replaces it
  void text(const std::string& text, GstClockTime start, GstClockTime duration,
            GstBuffer*) override {
    encoder_->push(text, frame_at(start), frame_at(start + duration), lines_);
    bool warn = false;
    {
      std::lock_guard guard(settings.lock);
      ++n_texts_;
      n_unmapped_ = guint64(encoder_->n_unmapped());
      warn = n_unmapped_ > 0 && !std::exchange(warned_unmapped_, true);
    }
    if (warn)
      GST_ELEMENT_WARNING(element_, STREAM, ENCODE,
                          ("The text has characters that CEA-608 has not; they become '?'"),
                          ("'%s'", text.c_str()));
    advance(start);
  }

  void advance(GstClockTime time) override {
    if (time > origin_ + ahead_) send_until(frame_at(time - ahead_));
  }

  void finish() override {
    while (encoder_->due() < INT64_MAX && flow() == GST_FLOW_OK)
      send_until(std::max(encoder_->due(), next_) + 1);
    encoder_.reset();
  }
  void reset() override { encoder_.reset(); }
  GstClockTime latency() override {
    std::lock_guard guard(settings.lock);
    return settings.mode == int(omni::Cea608Mode::pop_on) ? kLoading : 0;
  }

 private:
  enum class Format { raw, s334, cc_data };

  GstClockTime time_of(int64_t frame) const {
    return origin_ + gst_util_uint64_scale(guint64(frame), GST_SECOND * rate_d_, rate_n_);
  }
  // The first frame that is not before `time`.
  int64_t frame_at(GstClockTime time) const {
    return time <= origin_
               ? 0
               : int64_t(gst_util_uint64_scale_ceil(time - origin_, rate_n_, GST_SECOND * rate_d_));
  }

  void send_until(int64_t frame) {
    while (next_ < frame && flow() == GST_FLOW_OK) {
      const int64_t idle_until = std::min(encoder_->due(), frame);
      if (idle_until > next_ && time_of(idle_until) - time_of(next_) > kIdle) {
        push_gap(time_of(next_), time_of(idle_until));
        next_ = idle_until;
      } else {
        send_frame();
      }
    }
  }

  void send_frame() {
    const std::array<uint8_t, 2> pair = encoder_->frame(next_);
    const GstClockTime start = time_of(next_), duration = time_of(next_ + 1) - start;
    std::string bytes;
    if (format_ == Format::s334) bytes = char(field_2_ ? 0x00 : 0x80);  // line 21 or 284
    if (format_ == Format::cc_data) bytes = field_2_ ? std::string("\xfc\x80\x80\xfd", 4) : "\xfc";
    bytes.append(reinterpret_cast<const char*>(pair.data()), 2);
    if (format_ == Format::cc_data && !field_2_) bytes.append("\xfd\x80\x80");
    push(gst_omni_text_buffer(bytes, start, duration));
    ++next_;
    note_lag(time_of(encoder_->lag()) - origin_);
  }

  void note_lag(GstClockTime lag) {
    bool warn = false;
    {
      std::lock_guard guard(settings.lock);
      lag_ = lag;
      most_lag_ = std::max(most_lag_, lag);
      warn = lag > kMuchTooLate && !std::exchange(warned_late_, true);
      if (lag < GST_SECOND) warned_late_ = false;
    }
    if (warn)
      GST_ELEMENT_WARNING_WITH_DETAILS(
          element_, STREAM, ENCODE,
          ("Captions are %.1f s late: there is more text than two bytes a frame carry",
           double(lag) / GST_SECOND),
          ("nothing is lost; less text or roll-up catches up"),
          ("delay", G_TYPE_UINT64, guint64(lag), nullptr));
  }

  // of the streaming thread
  std::unique_ptr<omni::Cea608Encoder> encoder_;
  bool lines_ = false, field_2_ = false;
  Format format_ = Format::raw;
  guint64 rate_n_ = 30, rate_d_ = 1;  // pairs a second
  GstClockTime origin_ = 0, ahead_ = 0;
  int64_t next_ = 0;  // frame
  // under the settings' lock
  guint64 n_texts_ = 0, n_unmapped_ = 0;
  GstClockTime lag_ = 0, most_lag_ = 0;
  bool warned_late_ = false, warned_unmapped_ = false;
};

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnicea608enc, "omnicea608enc", GST_RANK_NONE,
                            gst_omni_element_type<Cea608Enc>("GstOmniCea608Enc"));

/**
 * element-omnioverlay:
 *
 * Draws boxes, points, labels and track ids that frames carry as metadata (of omnicombiner, or of
 * any other element: regions of interest, GstAnalytics), and the caption that comes on the `text`
 * pad. An object that was seen half a second ago or longer is dashed and says when. A label keeps
 * its colour; sizes follow the picture from 240 to 2160 lines; a caption keeps inside the safe area
 * and, where a third of the picture is free, off the boxes. A frame that shows an answer gets its
 * GstOmniAnswerMeta.
 *
 * Under a file frames wait for the caption that belongs to them, as omnicombiner's do for results;
 * at most 4096 captions are kept. Live they wait `latency` at most; a caption that comes later is
 * shown from then on for its duration. One without a duration is shown until the next, or for the
 * time that it takes to read. Latency = that of upstream + `latency` where `text` is linked.
 *
 * ## Example
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=300 ! tee name=t  t. ! queue ! omnivideotokenizer
 * model-path=models/nano ! omnimodel name=m t. ! queue ! o.sink  m.text_0 ! o.text  omnioverlay
 * name=o ! videoconvert ! autovideosink
 * ]|
 */
#include "overlay/gstomnioverlay.h"

#include <algorithm>
#include <utility>

#include "common/gstomnielement.h"
#include "omni/captions.h"
#include "overlay/gstomnidrawing.h"
#include "overlay/gstomnispatialmeta.h"
#include "streams/gstomnianswermeta.h"
#include "streams/gstomnimerge.h"

namespace {

struct Settings : GstOmniMergeSettings {
  std::string font = "Sans";
  bool labels = true;
};

struct CompositionUnref {
  void operator()(GstVideoOverlayComposition* c) const { gst_video_overlay_composition_unref(c); }
};

class Painter final : public GstOmniMergeHooks {
 public:
  explicit Painter(Settings& settings) : settings_(settings) {}

  bool set_info(const GstVideoInfo& info) override {
    info_ = info;
    known_.clear();
    return true;
  }

  void take(GstBuffer* buffer, GstClockTime start, GstClockTime duration,
            GstClockTime shown) override {
    GstMapInfo map;
    if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
      throw omni::Error(omni::ErrorCode::corrupt_file, "a text buffer that cannot be read");
    std::string text(reinterpret_cast<const char*>(map.data), map.size);
    gst_buffer_unmap(buffer, &map);
    while (!text.empty() && (text.back() == '\0' || text.back() == '\n')) text.pop_back();
    const bool endless = duration == 0;
    if (endless) duration = GstClockTime(omni::reading_time(text));
    if (start + duration <= shown) start = shown;  // its time is over: better late than never
    std::lock_guard guard(lock_);
    if (!captions_.empty() && captions_.back().endless)
      captions_.back().end = std::min(captions_.back().end, start);
    captions_.push_back(
        {start, start + duration, endless, std::move(text), BufferPtr(gst_buffer_ref(buffer))});
    if (captions_.size() > kGstOmniMostBeside) captions_.pop_front();
  }

  void forget_after(GstClockTime time) override {
    std::lock_guard guard(lock_);
    std::erase_if(captions_, [&](const Caption& c) { return c.start > time; });
  }

  BufferPtr decorate(BufferPtr frame, GstClockTime time) override {
    const std::vector<omni::SpatialObject> objects = gst_omni_read_objects(frame.get());
    const auto [caption, source] = caption_at(time);
    if (objects.empty() && caption.empty()) return frame;
    GstOmniDrawingStyle style;
    {
      std::lock_guard guard(settings_.lock);
      style = {settings_.font, settings_.labels};
    }
    // Most frames look like the one before.
    std::string key = caption + "\n" + style.font + (style.labels ? "1" : "0");
    for (const omni::SpatialObject& o : objects) {
      const omni::Box b = o.box ? *o.box : omni::Box{o.point->x, o.point->y, -1, -1};
      for (const double v : {b.x1, b.y1, b.x2, b.y2})
        key.append(",").append(std::to_string(int(v)));
      key.append(o.label).append("#").append(std::to_string(o.track));
      key.append("@").append(std::to_string(int(o.age / kGstOmniOld)));
    }
    if (key != known_) {
      composition_.reset(gst_omni_draw(GST_VIDEO_INFO_WIDTH(&info_), GST_VIDEO_INFO_HEIGHT(&info_),
                                       objects, caption, style, fonts_.get()));
      known_ = std::move(key);
    }
    if (!composition_) return frame;
    frame.reset(gst_buffer_make_writable(frame.release()));
    if (source) gst_omni_copy_answers(source.get(), frame.get());
    GstVideoFrame mapped;
    if (!gst_video_frame_map(&mapped, &info_, frame.get(), GST_MAP_READWRITE))
      throw omni::Error(omni::ErrorCode::unsupported,
                        "a frame that cannot be mapped to be painted on");
    gst_video_overlay_composition_blend(composition_.get(), &mapped);
    gst_video_frame_unmap(&mapped);
    return frame;
  }

  void clear() override {
    std::lock_guard guard(lock_);
    captions_.clear();
  }

 private:
  struct Caption {
    GstClockTime start, end;
    bool endless;  // came without an end: the next one is its end
    std::string text;
    BufferPtr source;
  };

  // What is shown at `time`, and the buffer that brought it.
  std::pair<std::string, BufferPtr> caption_at(GstClockTime time) {
    std::lock_guard guard(lock_);
    std::erase_if(captions_, [&](const Caption& c) { return c.end <= time; });
    for (auto c = captions_.rbegin(); c != captions_.rend(); ++c)
      if (c->start <= time && time < c->end)
        return {c->text, BufferPtr(gst_buffer_ref(c->source.get()))};
    return {};
  }

  Settings& settings_;
  const std::unique_ptr<PangoFontMap, GstOmniRelease<g_object_unref>> fonts_{gst_omni_new_fonts()};
  std::mutex lock_;
  std::deque<Caption> captions_;
  // of the task
  GstVideoInfo info_;
  std::unique_ptr<GstVideoOverlayComposition, CompositionUnref> composition_;
  std::string known_;  // what composition_ shows
};

class Overlay final : public GstOmniElement {
 public:
  static const GstOmniProperties<Settings>& properties() {
    static const GstOmniProperties<Settings> table = [] {
      auto rows = gst_omni_merge_properties<Settings>();
      rows.push_back({"font", "Font", "Font family of labels and captions, as Pango writes it",
                      &Settings::font, 0, 0, GstOmniMutable::playing});
      rows.push_back({"labels", "Labels", "Write an object's label and track id at its box",
                      &Settings::labels, 0, 0, GstOmniMutable::playing});
      return GstOmniProperties<Settings>(rows);
    }();
    return table;
  }

  static void describe(GstElementClass* klass) {
    gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
                          GST_VIDEO_CAPS_MAKE(GST_VIDEO_OVERLAY_COMPOSITION_BLEND_FORMATS));
    gst_omni_add_template(klass, "text", GST_PAD_SINK, GST_PAD_REQUEST,
                          "text/x-raw, format=(string)utf8");
    gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS,
                          GST_VIDEO_CAPS_MAKE(GST_VIDEO_OVERLAY_COMPOSITION_BLEND_FORMATS));
    gst_omni_set_metadata(klass, "Omni overlay", "Filter/Editor/Video",
                          "Draws objects, their labels and captions on video");
  }

  Overlay(GstElement* element, GstElementClass*)
      : element_(element), painter_(settings), merge_(element, settings, painter_) {
    merge_.add_video_pads();
  }

  GstPad* request_pad(GstPadTemplate* templ, const gchar*) override {
    if (PadPtr there(gst_element_get_static_pad(element_, "text")); there) return nullptr;
    GstPad* pad = gst_pad_new_from_template(templ, "text");
    merge_.add_side_pad(pad);
    return pad;
  }
  void release_pad(GstPad* pad) override { merge_.remove_side_pad(pad); }
  void property_set(const std::string&) override { merge_.settings_changed(); }

  Settings settings;

 private:
  GstElement* const element_;
  Painter painter_;
  GstOmniMerge merge_;
};

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnioverlay, "omnioverlay", GST_RANK_NONE,
                            gst_omni_element_type<Overlay>("GstOmniOverlay"));

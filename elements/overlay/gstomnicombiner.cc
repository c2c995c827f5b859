/**
 * element-omnicombiner:
 *
 * Puts what a model saw where on the frames it belongs to: boxes, points, labels, confidences and
 * track ids become GstVideoRegionOfInterestMeta, and GstAnalyticsRelationMeta (object detection,
 * classification, tracking) where GStreamer has it (1.24 and later). Pixels are not touched.
 *
 * A frame gets the objects of the last result about a frame not later than itself, for
 * `expire-after`. With `tracking=predict` on omnimodel they are moved along until the next result
 * comes. Each says how long ago it was seen (`age`).
 *
 * Under a file every frame waits for its result, as long as no more than `max-size-time` of video
 * has to be held: a video goes on without objects where one thread brings both streams, or where no
 * result has come for a minute (then with a warning). Live a frame waits `latency` at most; with 0,
 * objects appear as soon as the model has found them, on the frames of that moment. Latency = that
 * of upstream + `latency`.
 *
 * A result or a frame whose time is far off costs no more than itself. At most 4096 results are
 * kept.
 *
 * ## Example
 * |[
 * gst-launch-1.0 videotestsrc pattern=ball num-buffers=300 ! tee name=t  t. ! queue !
 * omnivideotokenizer model-path=models/nano ! omnimodel name=m t. ! queue ! c.sink  m.spatial_0 !
 * c.spatial  omnicombiner name=c ! omnioverlay ! videoconvert ! autovideosink
 * ]|
 */
#include "overlay/gstomnicombiner.h"

#include <algorithm>

#include "common/gstomnielement.h"
#include "overlay/gstomnispatialmeta.h"
#include "streams/gstomnimerge.h"

namespace {

struct Settings : GstOmniMergeSettings {
  gint64 expire_after = 5 * gint64(GST_SECOND);
};

class Objects final : public GstOmniMergeHooks {
 public:
  explicit Objects(Settings& settings) : settings_(settings) {}

  bool set_info(const GstVideoInfo& info) override {
    width_ = GST_VIDEO_INFO_WIDTH(&info), height_ = GST_VIDEO_INFO_HEIGHT(&info);
    return true;
  }

  void take(GstBuffer* buffer, GstClockTime start, GstClockTime, GstClockTime) override {
    GstMapInfo map;
    if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
      throw omni::Error(omni::ErrorCode::corrupt_file, "a spatial buffer that cannot be read");
    const std::string text(reinterpret_cast<const char*>(map.data), map.size);
    gst_buffer_unmap(buffer, &map);
    Result r{start, omni::spatial_result_from_json(text)};
    std::lock_guard guard(lock_);
    const auto behind = std::find_if(results_.begin(), results_.end(),
                                     [&](const Result& o) { return o.time > r.time; });
    results_.insert(behind, std::move(r));
    if (results_.size() > kGstOmniMostBeside) results_.pop_front();
  }

  void forget_after(GstClockTime time) override {
    std::lock_guard guard(lock_);
    std::erase_if(results_, [&](const Result& r) { return r.time > time; });
  }

  BufferPtr decorate(BufferPtr frame, GstClockTime time) override {
    GstClockTime expire;
    {
      std::lock_guard guard(settings_.lock);
      expire = GstClockTime(settings_.expire_after);
    }
    std::vector<omni::SpatialObject> objects;
    {
      std::lock_guard guard(lock_);
      while (results_.size() > 1 && results_[1].time <= time) results_.pop_front();
      if (results_.empty() || results_[0].time > time || time - results_[0].time > expire)
        return frame;
      const omni::SpatialResult& r = results_[0].result;
      const double sx = r.geometry.source_width ? double(width_) / r.geometry.source_width : 1,
                   sy = r.geometry.source_height ? double(height_) / r.geometry.source_height : 1;
      const double seconds = double(time - results_[0].time) / GST_SECOND;
      for (const omni::SpatialObject& o : r.objects)
        objects.push_back(on_frame(o, sx, sy, seconds));
    }
    if (objects.empty()) return frame;
    frame.reset(gst_buffer_make_writable(frame.release()));
    gst_omni_add_objects(frame.get(), objects, width_, height_);
    return frame;
  }

  void clear() override {
    std::lock_guard guard(lock_);
    results_.clear();
  }

 private:
  struct Result {
    GstClockTime time;
    omni::SpatialResult result;
  };

  // Scaled to this video's size and moved to its time.
  static omni::SpatialObject on_frame(omni::SpatialObject o, double sx, double sy, double seconds) {
    const double dx = o.velocity ? o.velocity->x * seconds : 0,
                 dy = o.velocity ? o.velocity->y * seconds : 0;
    if (o.box)
      o.box = omni::Box{(o.box->x1 + dx) * sx, (o.box->y1 + dy) * sy, (o.box->x2 + dx) * sx,
                        (o.box->y2 + dy) * sy};
    if (o.point) o.point = omni::Point{(o.point->x + dx) * sx, (o.point->y + dy) * sy};
    o.age = seconds;
    return o;
  }

  Settings& settings_;
  std::mutex lock_;
  std::deque<Result> results_;  // in the order of time
  int width_ = 0, height_ = 0;  // of the task
};

class Combiner final : public GstOmniElement {
 public:
  static const GstOmniProperties<Settings>& properties() {
    static const GstOmniProperties<Settings> table = [] {
      auto rows = gst_omni_merge_properties<Settings>();
      rows.push_back({"expire-after", "Expire after",
                      "How long a result stays on frames that no later result replaces, in ns",
                      &Settings::expire_after, 0, 3600e9, GstOmniMutable::playing});
      return GstOmniProperties<Settings>(rows);
    }();
    return table;
  }

  static const std::vector<GstOmniReading<Combiner>>& readings() {
    static const std::vector<GstOmniReading<Combiner>> table = {
        {[] {
           return g_param_spec_uint64(
               "undecorated", "Undecorated frames",
               "Frames that left before the spatial stream had passed their time", 0, G_MAXUINT64,
               0, kGstOmniReadOnly);
         },
         [](Combiner& self, GValue* value) {
           g_value_set_uint64(value, self.merge_.n_undecorated());
         }}};
    return table;
  }

  static void describe(GstElementClass* klass) {
    gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS, "video/x-raw(ANY)");
    gst_omni_add_template(klass, "spatial", GST_PAD_SINK, GST_PAD_ALWAYS,
                          "application/x-omni-spatial, version=(int)1");
    gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS, "video/x-raw(ANY)");
    gst_omni_set_metadata(
        klass, "Omni combiner", "Filter/Analyzer/Video",
        "Puts objects that a model found on the frames they belong to, as metadata");
  }

  Combiner(GstElement* element, GstElementClass* klass)
      : objects_(settings), merge_(element, settings, objects_) {
    merge_.add_video_pads();
    merge_.add_side_pad(gst_omni_new_pad(klass, "spatial"));
  }

  void property_set(const std::string&) override { merge_.settings_changed(); }

  Settings settings;

 private:
  Objects objects_;
  GstOmniMerge merge_;
};

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnicombiner, "omnicombiner", GST_RANK_NONE,
                            gst_omni_element_type<Combiner>("GstOmniCombiner"));

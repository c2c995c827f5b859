#include "overlay/gstomnispatialmeta.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

#if GST_CHECK_VERSION(1, 24, 0) && defined(OMNI_HAVE_GST_ANALYTICS)
#include <gst/analytics/analytics.h>
#define OMNI_ANALYTICS 1
#endif

namespace {

struct Rectangle {
  int x, y, width, height;
};

Rectangle rectangle(const omni::SpatialObject& o, int width, int height) {
  const omni::Box b =
      o.box ? *o.box : omni::Box{o.point->x, o.point->y, o.point->x + 1, o.point->y + 1};
  const int x = std::clamp(int(std::lround(b.x1)), 0, width - 1),
            y = std::clamp(int(std::lround(b.y1)), 0, height - 1);
  return {x, y, std::clamp(int(std::lround(b.x2)) - x, 1, width - x),
          std::clamp(int(std::lround(b.y2)) - y, 1, height - y)};
}

#ifdef OMNI_ANALYTICS
// GstAnalytics names classes by GQuark, and quarks are never freed: a bounded number of short
// labels, and one name for all that come later.
GQuark label_quark(const std::string& label) {
  constexpr size_t kMost = 1024, kLongest = 64;
  static std::mutex lock;
  static std::set<std::string> known;
  std::lock_guard guard(lock);
  if (label.empty() || label.size() > kLongest || (!known.contains(label) && known.size() >= kMost))
    return g_quark_from_static_string("object");
  known.insert(label);
  return g_quark_from_string(label.c_str());
}
#endif

double number(const GstStructure* s, const char* name, double otherwise) {
  double v = otherwise;
  return s && gst_structure_get_double(s, name, &v) ? v : otherwise;
}

}  // namespace

void gst_omni_add_objects(GstBuffer* frame, const std::vector<omni::SpatialObject>& objects,
                          int width, int height) {
  if (objects.empty() || width < 1 || height < 1) return;
#ifdef OMNI_ANALYTICS
  GstAnalyticsRelationMeta* relations = gst_buffer_add_analytics_relation_meta(frame);
#endif
  for (const omni::SpatialObject& o : objects) {
    const Rectangle r = rectangle(o, width, height);
    const double confidence = std::sqrt(o.label_probability * o.place_probability);
    GstVideoRegionOfInterestMeta* roi = gst_buffer_add_video_region_of_interest_meta_id(
        frame, g_quark_from_static_string("omni"), guint(r.x), guint(r.y), guint(r.width),
        guint(r.height));
    roi->id = gint(o.track);
    gst_video_region_of_interest_meta_add_param(
        roi, gst_structure_new(
                 o.box ? "detection" : "point", "label", G_TYPE_STRING, o.label.c_str(),
                 "confidence", G_TYPE_DOUBLE, confidence, "x_min", G_TYPE_DOUBLE,
                 double(r.x) / width, "x_max", G_TYPE_DOUBLE, double(r.x + r.width) / width,
                 "y_min", G_TYPE_DOUBLE, double(r.y) / height, "y_max", G_TYPE_DOUBLE,
                 double(r.y + r.height) / height, "age", G_TYPE_DOUBLE, o.age, nullptr));
    if (o.track)
      gst_video_region_of_interest_meta_add_param(
          roi, gst_structure_new("tracking", "id", G_TYPE_INT, gint(o.track), nullptr));
#ifdef OMNI_ANALYTICS
    GstAnalyticsODMtd od;
    if (!relations ||
        !gst_analytics_relation_meta_add_od_mtd(relations, label_quark(o.label), r.x, r.y, r.width,
                                                r.height, gfloat(confidence), &od))
      continue;
    GQuark label = label_quark(o.label);
    gfloat probability = gfloat(o.label_probability);
    GstAnalyticsClsMtd cls;
    if (gst_analytics_relation_meta_add_cls_mtd(relations, 1, &probability, &label, &cls))
      gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_RELATE_TO, od.id,
                                               cls.id);
    GstAnalyticsTrackingMtd tracking;
    if (o.track && gst_analytics_relation_meta_add_tracking_mtd(relations, guint64(o.track),
                                                                GST_BUFFER_PTS(frame), &tracking))
      gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_RELATE_TO, od.id,
                                               tracking.id);
#endif
  }
}

std::vector<omni::SpatialObject> gst_omni_read_objects(GstBuffer* frame) {
  std::vector<omni::SpatialObject> out;
  gpointer state = nullptr;
  while (GstMeta* meta = gst_buffer_iterate_meta_filtered(
             frame, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
    auto* roi = reinterpret_cast<GstVideoRegionOfInterestMeta*>(meta);
    omni::SpatialObject o;
    const GstStructure *detection = gst_video_region_of_interest_meta_get_param(roi, "detection"),
                       *point = gst_video_region_of_interest_meta_get_param(roi, "point");
    const GstStructure *facts = detection ? detection : point,
                       *tracking = gst_video_region_of_interest_meta_get_param(roi, "tracking");
    if (point)
      o.point = omni::Point{double(roi->x), double(roi->y)};
    else
      o.box = omni::Box{double(roi->x), double(roi->y), double(roi->x) + roi->w,
                        double(roi->y) + roi->h};
    const char* label = facts ? gst_structure_get_string(facts, "label") : nullptr;
    if (!label && roi->roi_type && roi->roi_type != g_quark_from_static_string("omni"))
      label = g_quark_to_string(roi->roi_type);
    o.label = label ? label : "";
    o.label_probability = o.place_probability = number(facts, "confidence", 1);
    o.age = number(facts, "age", 0);
    int id = 0;
    if (tracking && gst_structure_get_int(tracking, "id", &id)) o.track = id;
    out.push_back(std::move(o));
  }
#ifdef OMNI_ANALYTICS
  if (out.empty())
    if (GstAnalyticsRelationMeta* relations = gst_buffer_get_analytics_relation_meta(frame)) {
      gpointer at = nullptr;
      GstAnalyticsODMtd od;
      while (gst_analytics_relation_meta_iterate(relations, &at,
                                                 gst_analytics_od_mtd_get_mtd_type(), &od)) {
        gint x = 0, y = 0, w = 0, h = 0;
        gfloat confidence = 1;
        if (!gst_analytics_od_mtd_get_location(&od, &x, &y, &w, &h, &confidence)) continue;
        omni::SpatialObject o;
        o.box = omni::Box{double(x), double(y), double(x + w), double(y + h)};
        const char* label = g_quark_to_string(gst_analytics_od_mtd_get_obj_type(&od));
        o.label = label ? label : "";
        o.label_probability = o.place_probability = confidence;
        GstAnalyticsTrackingMtd tracking;
        gpointer from = nullptr;
        if (gst_analytics_relation_meta_get_direct_related(
                relations, od.id, GST_ANALYTICS_REL_TYPE_RELATE_TO,
                gst_analytics_tracking_mtd_get_mtd_type(), &from, &tracking)) {
          guint64 id = 0;
          GstClockTime first, last;
          gboolean lost;
          if (gst_analytics_tracking_mtd_get_info(&tracking, &id, &first, &last, &lost))
            o.track = gint64(id);
        }
        out.push_back(std::move(o));
      }
    }
#endif
  return out;
}

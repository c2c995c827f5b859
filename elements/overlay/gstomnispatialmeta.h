// Objects as metadata on frames, in the forms that other elements read:
// GstVideoRegionOfInterestMeta on every GStreamer, GstAnalyticsRelationMeta from 1.24.
//
// A region of interest has type "omni", the track as id, and a structure "detection" {label,
// confidence (double), x_min, x_max, y_min, y_max (double, 0 … 1), age (double, seconds)}, and
// "tracking" {id (int)} where there is a track. A point is a region of 1×1 pixels whose structure
// is called "point".
#pragma once

#include <gst/video/video.h>

#include <string>
#include <vector>

#include "omni/spatial.h"

// `frame` must be writable; objects are in pixels of a picture of this size.
void gst_omni_add_objects(GstBuffer* frame, const std::vector<omni::SpatialObject>& objects,
                          int width, int height);
// The other way, from whichever is there (our regions first, then any others', then GstAnalytics).
std::vector<omni::SpatialObject> gst_omni_read_objects(GstBuffer* frame);

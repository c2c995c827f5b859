// What omnioverlay paints, independent of GStreamer's pads: objects with their labels, and a
// caption that keeps out of their way.
#pragma once

#include <gst/video/video.h>

#include <string>
#include <vector>

#include "omni/spatial.h"

typedef struct _PangoFontMap PangoFontMap;

// An object that was seen this long ago or longer is drawn dashed, and says so.
constexpr double kGstOmniOld = 0.5;  // seconds

struct GstOmniDrawingStyle {
  std::string font = "Sans";
  bool labels = true;
};

// The fonts of one painter, to be freed by g_object_unref(). Pango's default is a map for each
// thread, which lasts as long: a megabyte for every thread of a pool that has once painted.
PangoFontMap* gst_omni_new_fonts();

// Rectangles to blend over a picture of this size. Objects are in its pixels. nullptr where there
// is nothing to paint. One thread at a time with the same fonts.
GstVideoOverlayComposition* gst_omni_draw(int width, int height,
                                          const std::vector<omni::SpatialObject>& objects,
                                          const std::string& caption,
                                          const GstOmniDrawingStyle& style, PangoFontMap* fonts);

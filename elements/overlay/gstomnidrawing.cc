#include "overlay/gstomnidrawing.h"

#include <cairo.h>
#include <pango/pangocairo.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "common/gstomniptr.h"

namespace {

struct Colour {
  double r, g, b;
  double luminance() const { return 0.2126 * r + 0.7152 * g + 0.0722 * b; }
};

// Told apart on any picture; a label keeps its colour for ever.
constexpr Colour kPalette[] = {{1, .85, .1},    {.25, .8, 1},  {1, .45, .35}, {.45, .9, .4},
                               {1, .5, .9},     {1, .65, .15}, {.55, .6, 1},  {.3, .95, .8},
                               {.85, .95, .35}, {.85, .6, 1}};

Colour colour_of(const std::string& label) {
  uint32_t h = 2166136261u;  // FNV-1a
  for (const char c : label) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return kPalette[h % std::size(kPalette)];
}

struct Area {
  int x, y, width, height;
  bool meets(const omni::Box& b) const {
    return b.x1 < x + width && b.x2 > x && b.y1 < y + height && b.y2 > y;
  }
};

// A picture to paint on, of which a composition rectangle is made.
class Canvas {
 public:
  explicit Canvas(const Area& area) : area_(area) {
    buffer_ = gst_buffer_new_and_alloc(gsize(area.width) * gsize(area.height) * 4);
    gst_buffer_memset(buffer_, 0, 0, gst_buffer_get_size(buffer_));
    gst_buffer_map(buffer_, &map_, GST_MAP_READWRITE);
    surface_ = cairo_image_surface_create_for_data(map_.data, CAIRO_FORMAT_ARGB32, area.width,
                                                   area.height, area.width * 4);
    cr_ = cairo_create(surface_);
    cairo_translate(cr_, -area.x, -area.y);
  }
  ~Canvas() {
    finish();
    gst_buffer_unref(buffer_);
  }
  cairo_t* cr() { return cr_; }

  void add_to(GstVideoOverlayComposition*& composition) {
    finish();
    gst_buffer_add_video_meta(buffer_, GST_VIDEO_FRAME_FLAG_NONE,
                              GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB, guint(area_.width),
                              guint(area_.height));
    GstVideoOverlayRectangle* r = gst_video_overlay_rectangle_new_raw(
        buffer_, area_.x, area_.y, guint(area_.width), guint(area_.height),
        GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA);
    if (composition)
      gst_video_overlay_composition_add_rectangle(composition, r);
    else
      composition = gst_video_overlay_composition_new(r);
    gst_video_overlay_rectangle_unref(r);
  }

 private:
  void finish() {
    if (!cr_) return;
    cairo_destroy(cr_);
    cairo_surface_destroy(surface_);
    gst_buffer_unmap(buffer_, &map_);
    cr_ = nullptr;
  }

  Area area_;
  GstBuffer* buffer_;
  GstMapInfo map_;
  cairo_surface_t* surface_;
  cairo_t* cr_ = nullptr;
};

using LayoutPtr = std::unique_ptr<PangoLayout, GstOmniRelease<g_object_unref>>;

// Text measured without a canvas.
LayoutPtr layout_of(const std::string& text, const std::string& font, double pixels, bool bold,
                    PangoFontMap* fonts) {
  std::unique_ptr<PangoContext, GstOmniRelease<g_object_unref>> context(
      pango_font_map_create_context(fonts));
  LayoutPtr layout(pango_layout_new(context.get()));
  PangoFontDescription* description = pango_font_description_from_string(font.c_str());
  pango_font_description_set_absolute_size(description, pixels * PANGO_SCALE);
  if (bold) pango_font_description_set_weight(description, PANGO_WEIGHT_BOLD);
  pango_layout_set_font_description(layout.get(), description);
  pango_font_description_free(description);
  CharPtr valid(g_utf8_make_valid(text.c_str(), gssize(text.size())));
  pango_layout_set_text(layout.get(), valid.get(), -1);
  return layout;
}

void plate(cairo_t* cr, double x, double y, double w, double h, double radius) {
  radius = std::min({radius, w / 2, h / 2});
  cairo_new_sub_path(cr);
  cairo_arc(cr, x + w - radius, y + radius, radius, -M_PI / 2, 0);
  cairo_arc(cr, x + w - radius, y + h - radius, radius, 0, M_PI / 2);
  cairo_arc(cr, x + radius, y + h - radius, radius, M_PI / 2, M_PI);
  cairo_arc(cr, x + radius, y + radius, radius, M_PI, 1.5 * M_PI);
  cairo_close_path(cr);
}

std::string label_text(const omni::SpatialObject& o) {
  std::string text = o.label;
  if (o.track) text.append(text.empty() ? "#" : " #").append(std::to_string(o.track));
  if (o.age < kGstOmniOld) return text;
  char age[32];
  std::snprintf(age, sizeof age, "%s%.1f s ago", text.empty() ? "" : ", ",
                std::floor(o.age / kGstOmniOld) * kGstOmniOld);
  return text + age;
}

void draw_object(GstVideoOverlayComposition*& composition, const omni::SpatialObject& o, int width,
                 int height, const GstOmniDrawingStyle& style, PangoFontMap* fonts) {
  const int line = std::max(2, int(std::lround(std::min(width, height) / 240.0)));
  const double reach = o.box ? 0 : 5.0 * line;  // of the mark of a point
  const omni::Box b = o.box ? *o.box
                            : omni::Box{o.point->x - reach, o.point->y - reach, o.point->x + reach,
                                        o.point->y + reach};
  const int x1 = int(std::floor(b.x1)), y1 = int(std::floor(b.y1)), x2 = int(std::ceil(b.x2)),
            y2 = int(std::ceil(b.y2));
  const Colour c = colour_of(o.label);

  LayoutPtr label;
  int lw = 0, lh = 0, lx = 0, ly = 0;
  const double size = std::clamp(std::min(width, height) / 28.0, 9.0, 48.0);
  const int pad = std::max(2, int(size / 4));
  if (const std::string text = label_text(o); style.labels && !text.empty()) {
    label = layout_of(text, style.font, size, true, fonts);
    pango_layout_set_ellipsize(label.get(), PANGO_ELLIPSIZE_END);
    pango_layout_set_width(label.get(), std::max(40, width / 2) * PANGO_SCALE);
    pango_layout_get_pixel_size(label.get(), &lw, &lh);
    lw += 2 * pad, lh += pad;
    lx = std::clamp(x1 - line, 0, std::max(0, width - lw));
    ly = y1 - line - lh;  // above,
    // below, or inside
    if (ly < 0)
      ly =
          y2 + line + lh <= height ? y2 + line : std::clamp(y1 + line, 0, std::max(0, height - lh));
  }
  const int left = std::max(0, std::min(x1 - line - 1, label ? lx : x1)),
            top = std::max(0, std::min(y1 - line - 1, label ? ly : y1));
  const int right = std::min(width, std::max(x2 + line + 1, label ? lx + lw : x2)),
            bottom = std::min(height, std::max(y2 + line + 1, label ? ly + lh : y2));
  if (right <= left || bottom <= top) return;

  Canvas canvas({left, top, right - left, bottom - top});
  cairo_t* cr = canvas.cr();
  const auto outline = [&] {
    if (o.box) {
      cairo_rectangle(cr, x1 - line / 2.0, y1 - line / 2.0, x2 - x1 + line, y2 - y1 + line);
    } else {
      cairo_new_sub_path(cr);
      cairo_arc(cr, o.point->x, o.point->y, reach * 0.6, 0, 2 * M_PI);
      for (const double a : {0.0, M_PI / 2, M_PI, 1.5 * M_PI}) {
        cairo_move_to(cr, o.point->x + std::cos(a) * reach * 0.6,
                      o.point->y + std::sin(a) * reach * 0.6);
        cairo_line_to(cr, o.point->x + std::cos(a) * reach, o.point->y + std::sin(a) * reach);
      }
    }
  };
  const double dash = 3.0 * line;
  if (o.age >= kGstOmniOld) cairo_set_dash(cr, &dash, 1, 0);
  outline();
  cairo_set_source_rgba(cr, 0, 0, 0, .75);
  cairo_set_line_width(cr, line + 2);
  cairo_stroke(cr);
  outline();
  cairo_set_source_rgb(cr, c.r, c.g, c.b);
  cairo_set_line_width(cr, line);
  cairo_stroke(cr);
  if (label) {
    plate(cr, lx, ly, lw, lh, size / 5);
    cairo_set_source_rgba(cr, c.r, c.g, c.b, .95);
    cairo_fill(cr);
    const double ink = c.luminance() > .45 ? 0 : 1;
    cairo_set_source_rgb(cr, ink, ink, ink);
    cairo_move_to(cr, lx + pad, ly + pad / 2.0);
    pango_cairo_update_layout(cr, label.get());
    pango_cairo_show_layout(cr, label.get());
  }
  canvas.add_to(composition);
}

void draw_caption(GstVideoOverlayComposition*& composition, const std::string& caption, int width,
                  int height, const std::vector<omni::SpatialObject>& objects,
                  const GstOmniDrawingStyle& style, PangoFontMap* fonts) {
  const double size = std::clamp(std::min(height / 18.0, width / 22.0), 9.0, 96.0);
  const int pad = int(size / 2.5), margin_y = int(height * 0.05);  // the title-safe area
  LayoutPtr layout = layout_of(caption, style.font, size, false, fonts);
  pango_layout_set_width(layout.get(), std::max(20, int(width * 0.84) - 2 * pad) * PANGO_SCALE);
  pango_layout_set_wrap(layout.get(), PANGO_WRAP_WORD_CHAR);
  pango_layout_set_alignment(layout.get(), PANGO_ALIGN_CENTER);
  pango_layout_set_height(layout.get(), -3);  // lines
  pango_layout_set_ellipsize(layout.get(), PANGO_ELLIPSIZE_END);
  PangoRectangle ink;
  pango_layout_get_pixel_extents(layout.get(), nullptr, &ink);
  Area area{0, 0, std::min(width, ink.width + 2 * pad), std::min(height, ink.height + pad)};
  area.x = (width - area.width) / 2;
  // The lowest third without an object in the way; at the bottom where there is none.
  const int places[] = {height - margin_y - area.height, margin_y, (height - area.height) / 2};
  area.y = std::max(0, places[0]);
  for (const int y : places) {
    const Area there{area.x, std::max(0, y), area.width, area.height};
    if (std::none_of(objects.begin(), objects.end(),
                     [&](const omni::SpatialObject& o) { return o.box && there.meets(*o.box); })) {
      area.y = there.y;
      break;
    }
  }
  Canvas canvas(area);
  cairo_t* cr = canvas.cr();
  plate(cr, area.x, area.y, area.width, area.height, size / 3);
  cairo_set_source_rgba(cr, 0, 0, 0, .72);
  cairo_fill(cr);
  cairo_set_source_rgb(cr, 1, 1, 1);
  cairo_move_to(cr, area.x + pad - ink.x, area.y + pad / 2.0);
  pango_cairo_update_layout(cr, layout.get());
  pango_cairo_show_layout(cr, layout.get());
  canvas.add_to(composition);
}

}  // namespace

PangoFontMap* gst_omni_new_fonts() { return pango_cairo_font_map_new(); }

GstVideoOverlayComposition* gst_omni_draw(int width, int height,
                                          const std::vector<omni::SpatialObject>& objects,
                                          const std::string& caption,
                                          const GstOmniDrawingStyle& style, PangoFontMap* fonts) {
  GstVideoOverlayComposition* composition = nullptr;
  if (width < 8 || height < 8) return nullptr;
  for (const omni::SpatialObject& o : objects)
    draw_object(composition, o, width, height, style, fonts);
  if (caption.find_first_not_of(" \t\r\n") != std::string::npos)
    draw_caption(composition, caption, width, height, objects, style, fonts);
  return composition;
}

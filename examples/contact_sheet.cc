#include "contact_sheet.h"

#include <pango/pangocairo.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <memory>

namespace {

constexpr size_t kMostPictures = 60;

constexpr int kColumns = 5, kGap = 20, kTextHeight = 84;
constexpr int kCardHeight = kThumbHeight + kTextHeight + kGap;
constexpr int kWidth = kColumns * (kThumbWidth + kGap) + kGap;
constexpr int kHead = 96, kLabels = 78;  // of the sheet; of the strip's rows
constexpr int kEventRow = 34, kVerdictRow = 18, kDelayRow = 56, kAxis = 26, kRowGap = 6;

struct Colour {
  double r, g, b;
};
constexpr Colour kPaper{.071, .082, .102}, kPanel{.137, .157, .188}, kInk{.93, .94, .95},
    kFaint{.55, .58, .62}, kRight{.24, .78, .44}, kWrong{1, .38, .34}, kFault{1, .72, .25},
    kUnknown{.42, .56, .72};

void use(cairo_t* cr, const Colour& c, double alpha = 1) {
  cairo_set_source_rgba(cr, c.r, c.g, c.b, alpha);
}

Colour colour_of(const std::optional<bool>& right) {
  return !right ? kUnknown : *right ? kRight : kWrong;
}

void rounded(cairo_t* cr, double x, double y, double w, double h, double radius) {
  radius = std::min({radius, w / 2, h / 2});
  cairo_new_sub_path(cr);
  cairo_arc(cr, x + w - radius, y + radius, radius, -M_PI / 2, 0);
  cairo_arc(cr, x + w - radius, y + h - radius, radius, 0, M_PI / 2);
  cairo_arc(cr, x + radius, y + h - radius, radius, M_PI / 2, M_PI);
  cairo_arc(cr, x + radius, y + radius, radius, M_PI, 1.5 * M_PI);
  cairo_close_path(cr);
}

struct TextStyle {
  double pixels;
  Colour colour;
  bool bold = false;
  int lines = 1;
  PangoAlignment alignment = PANGO_ALIGN_LEFT;
};

struct Unref {
  void operator()(PangoLayout* layout) const { g_object_unref(layout); }
};
using LayoutPtr = std::unique_ptr<PangoLayout, Unref>;

// Cut with an ellipsis where it is longer than its lines.
LayoutPtr layout_of(cairo_t* cr, double width, const std::string& text, const TextStyle& style) {
  LayoutPtr layout(pango_cairo_create_layout(cr));
  PangoFontDescription* font = pango_font_description_from_string("Sans");
  pango_font_description_set_absolute_size(font, style.pixels * PANGO_SCALE);
  if (style.bold) pango_font_description_set_weight(font, PANGO_WEIGHT_BOLD);
  pango_layout_set_font_description(layout.get(), font);
  pango_font_description_free(font);
  pango_layout_set_width(layout.get(), int(width * PANGO_SCALE));
  pango_layout_set_height(layout.get(), -style.lines);
  pango_layout_set_ellipsize(layout.get(), PANGO_ELLIPSIZE_END);
  pango_layout_set_alignment(layout.get(), style.alignment);
  char* valid = g_utf8_make_valid(text.c_str(), gssize(text.size()));
  pango_layout_set_text(layout.get(), valid, -1);
  g_free(valid);
  return layout;
}

// Returns its height.
double write(cairo_t* cr, double x, double y, double width, const std::string& text,
             const TextStyle& style) {
  const LayoutPtr layout = layout_of(cr, width, text, style);
  int height = 0;
  pango_layout_get_pixel_size(layout.get(), nullptr, &height);
  use(cr, style.colour);
  cairo_move_to(cr, x, y);
  pango_cairo_show_layout(cr, layout.get());
  return height;
}

std::string clock_text(double seconds) {
  char text[32];
  const int s = int(std::lround(seconds));
  std::snprintf(text, sizeof text, "%d:%02d", s / 60, s % 60);
  return text;
}

// A word or two on a dark plate.
void badge(cairo_t* cr, double x, double y, const std::string& text) {
  const TextStyle style{14, kInk, true};
  const LayoutPtr layout = layout_of(cr, 200, text, style);
  int width = 0, height = 0;
  pango_layout_get_pixel_size(layout.get(), &width, &height);
  rounded(cr, x, y, width + 12, height + 4, 5);
  cairo_set_source_rgba(cr, 0, 0, 0, .72);
  cairo_fill(cr);
  write(cr, x + 6, y + 2, 200, text, style);
}

// What is drawn, and where the parts of it are.
class Sheet {
 public:
  Sheet(const Thumbnails& pictures, const std::vector<Answer>& answers,
        const std::vector<Event>& events, double duration)
      : pictures_(pictures), answers_(answers), events_(events), duration_(std::max(.1, duration)) {
    for (const Answer& a : answers) {
      verdicts_.push_back(judge(a, events));
      n_rows_ = std::min<size_t>(2, std::max(n_rows_, verdicts_.back().size()));
      slowest_ = std::max(slowest_, a.took);
      for (const Statement& s : verdicts_.back())
        if (s.right) {
          ++n_judged_;
          n_right_ += *s.right;
        }
    }
    for (const Thumbnails::Thumbnail& p : pictures.all())
      if (answers.empty() || index_at(p.time)) shown_.push_back(&p);
    strip_ = kHead + (events.empty() ? 0 : kEventRow + kRowGap);
    cards_ = strip_ + int(n_rows_) * (kVerdictRow + kRowGap) + kDelayRow + kAxis + kGap;
    const int rows = (int(shown_.size()) + kColumns - 1) / kColumns;
    height_ = cards_ + rows * kCardHeight;
  }

  bool write_to(const std::string& path) {
    cairo_surface_t* surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, kWidth, height_);
    cr_ = cairo_create(surface);
    use(cr_, kPaper);
    cairo_paint(cr_);
    draw_head();
    draw_events();
    draw_verdicts();
    draw_delays();
    for (size_t i = 0; i < shown_.size(); ++i) draw_card(i);
    const bool written = cairo_surface_write_to_png(surface, path.c_str()) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(cr_);
    cairo_surface_destroy(surface);
    return written;
  }

 private:
  double x_of(double time) const {
    const double left = kGap + kLabels, right = kWidth - kGap;
    return left + std::clamp(time / duration_, 0., 1.) * (right - left);
  }

  void row_label(double y, double height, const std::string& text) {
    write(cr_, kGap, y + height / 2 - 9, kLabels - 8, text, {14, kFaint});
  }

  void draw_head() {
    write(cr_, kGap, 16, kWidth * .7,
          events_.empty() ? "What the model saw and heard"
                          : "What was on air, and what the model said",
          {30, kInk, true});
    const TextStyle small{16, kFaint};
    double x = kGap;
    if (n_judged_ > 0) {
      for (const auto& [right, meaning] :
           {std::pair{true, "right"}, std::pair{false, "something else was on air"}}) {
        use(cr_, colour_of(right));
        rounded(cr_, x, 63, 14, 14, 4);
        cairo_fill(cr_);
        write(cr_, x + 22, 60, 400, meaning, small);
        x += right ? 90 : 250;
      }
      write(cr_, kWidth / 2., 16, kWidth / 2. - kGap,
            std::to_string(n_right_) + " of " + std::to_string(n_judged_) + " statements right",
            {30, n_right_ == n_judged_ ? kRight : kInk, true, 1, PANGO_ALIGN_RIGHT});
    }
    char spacing[96];
    std::snprintf(spacing, sizeof spacing, "%zu answers about %s; a picture every %.0f s",
                  answers_.size(), clock_text(duration_).c_str(), pictures_.spacing());
    write(cr_, kWidth / 2., 60, kWidth / 2. - kGap, spacing,
          {16, kFaint, false, 1, PANGO_ALIGN_RIGHT});
  }

  void draw_events() {
    if (events_.empty()) return;
    row_label(kHead, kEventRow, "on air");
    for (const Event& e : events_) {
      const double x = x_of(e.start) + 1, w = x_of(e.end) - x - 1;
      const bool fault = e.what.starts_with("FAULT");
      use(cr_, fault ? kFault : kPanel, fault ? .3 : 1);
      rounded(cr_, x, kHead, w, kEventRow, 5);
      cairo_fill(cr_);
      if (w > 24)
        write(cr_, x + 6, kHead + 3, w - 10, e.what, {11, fault ? kFault : kInk, false, 2});
    }
  }

  static std::string kind_of(const std::string& statement) {
    return statement.starts_with("Video: ")   ? "picture"
           : statement.starts_with("Audio: ") ? "sound"
                                              : "said";
  }

  void draw_verdicts() {
    for (size_t row = 0; row < n_rows_; ++row) {
      const double y = strip_ + double(row) * (kVerdictRow + kRowGap);
      std::string label;
      for (size_t i = 0; i < answers_.size(); ++i) {
        if (row >= verdicts_[i].size()) continue;
        const Statement& s = verdicts_[i][row];
        if (label.empty()) label = kind_of(s.text);
        const double x = x_of(answers_[i].start) + 1,
                     w = x_of(answers_[i].start + answers_[i].duration) - x - 1;
        use(cr_, colour_of(s.right));
        rounded(cr_, x, y, std::max(1., w), kVerdictRow, 4);
        cairo_fill(cr_);
      }
      row_label(y, kVerdictRow, label);
    }
  }

  void draw_delays() {
    const double top = strip_ + double(n_rows_) * (kVerdictRow + kRowGap), bottom = top + kDelayRow;
    row_label(top, kDelayRow - 22, "answered");
    row_label(top, kDelayRow + 12, "after");
    for (const Answer& a : answers_) {
      const double h = slowest_ > 0 ? a.took / slowest_ * (kDelayRow - 18) : 0,
                   x = x_of(a.start) + 1, w = x_of(a.start + a.duration) - x - 1;
      use(cr_, kUnknown);
      cairo_rectangle(cr_, x, bottom - std::max(1., h), std::max(1., w), std::max(1., h));
      cairo_fill(cr_);
      char text[32];
      std::snprintf(text, sizeof text, "%.0f ms", a.took);
      if (w > 40)
        write(cr_, x, bottom - h - 16, w, text, {11, kFaint, false, 1, PANGO_ALIGN_CENTER});
    }
    use(cr_, kFaint);
    cairo_rectangle(cr_, x_of(0), bottom, x_of(duration_) - x_of(0), 1);
    cairo_fill(cr_);
    double step = 2;
    while (duration_ / step > 24) step *= step == 2 ? 2.5 : 2;
    for (double t = 0; t <= duration_ + .01; t += step) {
      cairo_rectangle(cr_, x_of(t), bottom, 1, 5);
      cairo_fill(cr_);
      write(cr_, x_of(t) - 30, bottom + 6, 60, clock_text(t),
            {12, kFaint, false, 1, PANGO_ALIGN_CENTER});
    }
  }

  // The answer about this time.
  std::optional<size_t> index_at(double time) const {
    for (size_t i = answers_.size(); i-- > 0;)
      if (answers_[i].start <= time && time < answers_[i].start + answers_[i].duration) return i;
    return std::nullopt;
  }

  void draw_picture(const Thumbnails::Thumbnail& picture, double x, double y) {
    cairo_surface_t* surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, kThumbWidth, kThumbHeight);
    uint8_t* out = cairo_image_surface_get_data(surface);
    const int stride = cairo_image_surface_get_stride(surface);
    for (int row = 0; row < kThumbHeight; ++row) {
      auto* line = reinterpret_cast<uint32_t*>(out + row * stride);
      const uint8_t* in = &picture.pixels[size_t(row * kThumbWidth * 3)];
      for (int i = 0; i < kThumbWidth; ++i, in += 3)
        line[i] = uint32_t(in[0]) << 16 | uint32_t(in[1]) << 8 | in[2];
    }
    cairo_surface_mark_dirty(surface);
    cairo_set_source_surface(cr_, surface, x, y);
    cairo_paint(cr_);
    cairo_surface_destroy(surface);
  }

  void draw_card(size_t index) {
    const Thumbnails::Thumbnail& picture = *shown_[index];
    const double x = kGap + double(int(index) % kColumns) * (kThumbWidth + kGap),
                 y = cards_ + double(int(index) / kColumns) * kCardHeight;
    const std::optional<size_t> at = index_at(picture.time);
    const Answer* answer = at ? &answers_[*at] : nullptr;
    const std::vector<Statement> verdict = at ? verdicts_[*at] : std::vector<Statement>();
    std::optional<bool> right;
    for (const Statement& s : verdict)
      if (s.right) right = right.value_or(true) && *s.right;

    cairo_save(cr_);
    rounded(cr_, x, y, kThumbWidth, kThumbHeight + kTextHeight, 8);
    cairo_clip(cr_);
    use(cr_, kPanel);
    cairo_paint(cr_);
    draw_picture(picture, x, y);
    use(cr_, colour_of(right));
    cairo_rectangle(cr_, x, y + kThumbHeight, kThumbWidth, 4);
    cairo_fill(cr_);
    cairo_restore(cr_);
    badge(cr_, x + 8, y + 8, clock_text(answer ? answer->start : picture.time));

    const double label = x + 10, text = x + 62, width = kThumbWidth - 72;
    double line = y + kThumbHeight + 11;
    if (!events_.empty()) {
      const std::string what =
          answer ? on_air(events_, answer->start, answer->start + answer->duration)
                 : on_air(events_, picture.time, picture.time + .1);
      write(cr_, label, line + 1, 50, "on air", {12, kFaint});
      line +=
          write(cr_, text, line, width, what, {13, what.starts_with("FAULT") ? kFault : kInk}) + 5;
    }
    if (!answer) return;
    write(cr_, label, line + 1, 50, "said", {12, kFaint});
    for (const Statement& s : verdict)
      line += write(cr_, text, line, width,
                    (!s.right   ? ""
                     : *s.right ? "\u2713 "
                                : "\u2717 ") +
                        s.text,
                    {13, s.right ? colour_of(s.right) : kInk, false, verdict.size() > 1 ? 1 : 3}) +
              2;
  }

  const Thumbnails& pictures_;
  const std::vector<Answer>& answers_;
  const std::vector<Event>& events_;
  const double duration_;
  std::vector<std::vector<Statement>> verdicts_;     // of each answer
  std::vector<const Thumbnails::Thumbnail*> shown_;  // those that an answer is about
  size_t n_rows_ = 1;                                // of the strip, with verdicts
  int n_judged_ = 0, n_right_ = 0;                   // statements
  double slowest_ = 0;                               // ms
  int strip_ = 0, cards_ = 0, height_ = 0;
  cairo_t* cr_ = nullptr;
};

bool overlaps(const Event& e, double start, double end) {
  return e.start < end - .05 && e.end > start + .05;
}

// `statement` begins with `words`, behind "Video: " or "Audio: ", and they stand for themselves:
// "speech" is not said by "speech: five camera down".
bool says(const std::string& statement, const std::string& words) {
  const size_t colon = statement.find(": ");
  const size_t begin = colon != std::string::npos && statement.find(' ') > colon ? colon + 2 : 0;
  if (words.empty() || begin + words.size() > statement.size()) return false;
  const auto same = [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  };
  if (!std::equal(words.begin(), words.end(), statement.begin() + long(begin), same)) return false;
  const auto next = static_cast<unsigned char>(
      begin + words.size() < statement.size() ? statement[begin + words.size()] : '.');
  return !std::isalnum(next) && next != ':';
}

}  // namespace

std::vector<Statement> judge(const Answer& answer, const std::vector<Event>& events) {
  std::vector<Statement> out;
  const size_t audio = answer.text.find(" Audio: ");
  if (audio == std::string::npos)
    out.push_back({answer.text, std::nullopt});
  else
    out = {{answer.text.substr(0, audio), std::nullopt},
           {answer.text.substr(audio + 1), std::nullopt}};
  for (Statement& s : out)
    for (const Event& e : events) {
      if (!overlaps(e, answer.start, answer.start + answer.duration)) continue;
      for (const std::string& words : e.words)
        s.right = s.right.value_or(false) || says(s.text, words);
    }
  return out;
}

std::string on_air(const std::vector<Event>& events, double start, double end) {
  std::string all;
  for (const Event& e : events)
    if (overlaps(e, start, end)) all += (all.empty() ? "" : " | ") + e.what;
  return all;
}

void Thumbnails::add(double time, const uint8_t* pixels) {
  const auto stretch = [this](double t) { return std::floor((t + .001) / spacing_); };
  Thumbnail picture{time, {pixels, pixels + size_t{kThumbWidth} * kThumbHeight * 3}};
  if (!all_.empty() && stretch(all_.back().time) == stretch(time)) {
    all_.back() = std::move(picture);
    return;
  }
  all_.push_back(std::move(picture));
  if (all_.size() <= kMostPictures) return;
  spacing_ *= 2;
  std::vector<Thumbnail> fewer;
  for (Thumbnail& t : all_) {
    if (!fewer.empty() && stretch(fewer.back().time) == stretch(t.time)) fewer.pop_back();
    fewer.push_back(std::move(t));
  }
  all_ = std::move(fewer);
}

bool write_contact_sheet(const std::string& path, const Thumbnails& pictures,
                         const std::vector<Answer>& answers, const std::vector<Event>& events,
                         double duration) {
  return Sheet(pictures, answers, events, duration).write_to(path);
}

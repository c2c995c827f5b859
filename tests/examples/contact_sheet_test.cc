// The contact sheet of omni-caption: what counts as right, which pictures are kept, that it is
// drawn.
#include "contact_sheet.h"

#include <cairo.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

namespace {

const std::vector<Event> kOnAir = {
    {0, 4, "colour bars, a tone", {"SMPTE color bars", "1000 Hz sine tone"}},
    {4, 8, "bars, a speaker", {"100% color bars", "speech"}}};

std::vector<bool> rights(const std::string& text, double start) {
  std::vector<bool> out;
  for (const Statement& s : judge({start, 2, text, 0}, kOnAir)) out.push_back(s.right.value());
  return out;
}

TEST(ContactSheet, AStatementIsRightThatSaysWhatIsOnAir) {
  using Rights = std::vector<bool>;
  EXPECT_EQ(rights("Video: SMPTE color bars. Audio: 1000 Hz sine tone, loud.", 0),
            (Rights{true, true}));
  EXPECT_EQ(rights("Video: smpte color bars on a wall. Audio: silence.", 2), (Rights{true, false}));
  EXPECT_EQ(rights("Video: no SMPTE color bars. Audio: 1000 Hz sine tones.", 0),
            (Rights{false, false}));
  EXPECT_EQ(rights("Video: 100% color bars. Audio: speech: five camera down.", 4),
            (Rights{true, false}))
      << "words that nobody has said";
  EXPECT_EQ(rights("Video: 100% color bars. Audio: speech.", 4), (Rights{true, true}));
  EXPECT_EQ(rights("Video: SMPTE color bars. Audio: speech.", 3), (Rights{true, true}))
      << "both are on air";
  EXPECT_FALSE(judge({20, 2, "Video: snow.", 0}, kOnAir).at(0).right) << "nobody knows";
  EXPECT_FALSE(judge({0, 2, "A cat.", 0}, {{0, 4, "a dog", {}}}).at(0).right);
  EXPECT_EQ(on_air(kOnAir, 3, 5), "colour bars, a tone | bars, a speaker");
}

std::vector<uint8_t> grey(uint8_t value) {
  return std::vector<uint8_t>(size_t{kThumbWidth} * kThumbHeight * 3, value);
}

TEST(ContactSheet, TheLastPictureOfEachStretchIsKept) {
  Thumbnails t;
  for (int i = 0; i < 20; ++i) t.add(i * .5, grey(uint8_t(i)).data());
  ASSERT_EQ(t.all().size(), 5u);
  EXPECT_EQ(t.all()[0].time, 1.5);
  EXPECT_EQ(t.all()[4].pixels[0], 19);
  for (int i = 20; i < 7200; ++i) t.add(i * .5, grey(0).data());
  EXPECT_LE(t.all().size(), 60u) << "of an hour too";
  EXPECT_EQ(t.all().back().time, 3599.5);
  for (size_t i = 1; i < t.all().size(); ++i)
    EXPECT_LE(t.all()[i].time - t.all()[i - 1].time, t.spacing() * 1.01);
}

TEST(ContactSheet, RightAndWrongAreToldApartByColour) {
  Thumbnails t;
  for (int i = 0; i < 16; ++i) t.add(i * .5, grey(90).data());
  const std::vector<Answer> answers = {
      {0, 2, "Video: SMPTE color bars. Audio: 1000 Hz sine tone, loud.", 5},
      {2, 2, "Video: SMPTE color bars. Audio: silence.", 90},
      {4, 2, "Video: 100% color bars. Audio: speech.", 7},
      {6, 2, "Video: 100% color bars. Audio: speech.", 7}};
  const std::string path = std::filesystem::temp_directory_path() / "omni-contact-sheet-test.png";
  ASSERT_TRUE(write_contact_sheet(path, t, answers, kOnAir, 8));
  cairo_surface_t* sheet = cairo_image_surface_create_from_png(path.c_str());
  const int width = cairo_image_surface_get_width(sheet),
            height = cairo_image_surface_get_height(sheet);
  EXPECT_EQ(width, 1720);
  std::map<uint32_t, int> pixels;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      ++pixels[reinterpret_cast<uint32_t*>(cairo_image_surface_get_data(sheet) +
                                           y * cairo_image_surface_get_stride(sheet))[x] &
               0xFFFFFF];
  cairo_surface_destroy(sheet);
  std::filesystem::remove(path);
  EXPECT_GT(pixels[0x5A5A5A], 4 * kThumbWidth * kThumbHeight / 2) << "the pictures";
  EXPECT_GT(pixels[0x3DC770], 3 * kThumbWidth * 4) << "under three of them";
  EXPECT_GT(pixels[0xFF6157], kThumbWidth * 4);
  EXPECT_LT(pixels[0xFF6157], pixels[0x3DC770]);
  EXPECT_FALSE(write_contact_sheet("/nowhere/sheet.png", t, answers, kOnAir, 8));
}

}  // namespace

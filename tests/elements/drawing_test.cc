// What omnioverlay paints with, without an element around it.
#include <gtest/gtest.h>

#include <memory>

#include "common/gstomniptr.h"
#include "core/held_by_a_thread.h"
#include "overlay/gstomnidrawing.h"

namespace omni_test {
namespace {

// Whatever thread of a pool it is that paints next.
TEST(Drawing, AThreadThatHasPaintedHoldsNothing) {
  const std::unique_ptr<PangoFontMap, GstOmniRelease<g_object_unref>> fonts(gst_omni_new_fonts());
  EXPECT_LT(held_by_a_thread([&] {
              GstVideoOverlayComposition* painted =
                  gst_omni_draw(320, 180, {}, "A ball on a black screen.", {}, fonts.get());
              EXPECT_NE(painted, nullptr);
              if (painted) gst_video_overlay_composition_unref(painted);
            }),
            80e3);
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(nullptr, nullptr);
  return RUN_ALL_TESTS();
}

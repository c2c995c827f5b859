// What omnioverlay paints with, without an element around it.
#include <gtest/gtest.h>
#include <malloc.h>

#include <latch>
#include <memory>
#include <thread>

#include "common/gstomniptr.h"
#include "overlay/gstomnidrawing.h"

namespace omni_test {
namespace {

// Whatever thread of a pool it is that paints next.
TEST(Drawing, AThreadThatHasPaintedHoldsNothing) {
  constexpr int kThreads = 9;
  const std::unique_ptr<PangoFontMap, GstOmniRelease<g_object_unref>> fonts(gst_omni_new_fonts());
  std::vector<size_t> in_use;
  std::latch all_done(kThreads + 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    std::latch done(1);
    threads.emplace_back([&] {
      GstVideoOverlayComposition* painted =
          gst_omni_draw(320, 180, {}, "A ball on a black screen.", {}, fonts.get());
      EXPECT_NE(painted, nullptr);
      if (painted) gst_video_overlay_composition_unref(painted);
      in_use.push_back(mallinfo2().uordblks);
      done.count_down();
      all_done.arrive_and_wait();  // a thread that lives
    });
    done.wait();
  }
  all_done.arrive_and_wait();
  for (std::thread& t : threads) t.join();
  EXPECT_LT(double(in_use.back()) - double(in_use.front()), (kThreads - 1) * 80e3);
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(nullptr, nullptr);
  return RUN_ALL_TESTS();
}

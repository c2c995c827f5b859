// Every op on CUDA against the same op on the host (which ops_test.cc checks): below, at and above
// what a block takes, odd strides, none. On the emulation, under its checker; linked with nvcc's
// kernels (OMNI_CUDA_TOOLKIT) on a GPU, where there is one.
#include "audio/device_log_mel.h"
#include "interface/forward_workspace.h"
#include "interface/paged_state.h"
#include "layers/recorded.h"
#include "ops/device_side.h"
#include "video/colour.h"
#include "video/device_patches.h"

namespace omni {
namespace {

TEST_F(Devices, NormsAndActivations) {
  for (const int64_t n : {0, 1, 5})
    for (const int64_t width : {2, 256, 258, 2052}) {
      const std::string what = std::to_string(n) + " × " + std::to_string(width);
      same("rms_norm " + what, [&](Side& s) {
        return ops::rms_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2), 1e-6f);
      });
      same("rms_norm_ of heads " + what, [&](Side& s) {
        Tensor x = s.random({n, 3 * width}, 1);
        ops::rms_norm_(s.cx(), {static_cast<float*>(x.raw()) + width, 3 * width, 2, int(width)}, n,
                       s.random({width}, 2), 1e-6f);
        return x;
      });
      same("layer_norm " + what, [&](Side& s) {
        return ops::layer_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2),
                               s.random({width}, 3), 1e-5f);
      });
      same("silu_mul " + what, [&](Side& s) {
        return ops::silu_mul(s.cx(), s.random({n, width}, 1));
      });
      const auto rounded = [&](const std::string& name,
                               const std::function<Tensor(Side&, DType)>& op) {
        same_rounded(name + ", rounded " + what,
                     [&](Side& s) { return op(s, s.is_host() ? DType::f32 : DType::bf16); });
      };
      rounded("rms_norm", [&](Side& s, DType out) {
        return ops::rms_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2), 1e-6f, out);
      });
      rounded("layer_norm", [&](Side& s, DType out) {
        return ops::layer_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2),
                               s.random({width}, 3), 1e-5f, out);
      });
      rounded("silu_mul", [&](Side& s, DType out) {
        return ops::silu_mul(s.cx(), s.random({n, width}, 1), out);
      });
      for (const auto activation : {ops::gelu_, ops::gelu_tanh_, ops::quick_gelu_})
        rounded("an activation", [&](Side& s, DType out) {
          Tensor x = s.random({n, width}, 1);
          activation(s.cx(), x, out);
          return x;
        });
      const auto in_place = [&](const char* name, const std::function<void(Side&, Tensor&)>& op) {
        same(name + (" " + what), [&](Side& s) {
          Tensor x = s.random({n, width}, 1);
          op(s, x);
          return x;
        });
      };
      in_place("gelu", [](Side& s, Tensor& x) { ops::gelu_(s.cx(), x); });
      in_place("gelu_tanh", [](Side& s, Tensor& x) { ops::gelu_tanh_(s.cx(), x); });
      in_place("quick_gelu", [](Side& s, Tensor& x) { ops::quick_gelu_(s.cx(), x); });
      in_place("silu", [](Side& s, Tensor& x) { ops::silu_(s.cx(), x); });
      in_place("div", [](Side& s, Tensor& x) { ops::div_(s.cx(), x, 3); });
      in_place("add", [&](Side& s, Tensor& x) { ops::add_(s.cx(), x, s.random({n, width}, 4)); });
      in_place("weighted_sum", [&](Side& s, Tensor& x) {
        const ops::Term terms[] = {{x, 1.f}, {s.random({n, width}, 6), .5f}, {x, -3.f}};
        ops::weighted_sum(s.cx(), x, terms);
        ops::weighted_sum(s.cx(), x, std::span(terms).last(2));
      });
      in_place("add_gated", [&](Side& s, Tensor& x) {
        ops::add_gated_(s.cx(), x, s.random({n, width}, 4), s.random({n, 1}, 5));
      });
      in_place("snake", [&](Side& s, Tensor& x) {
        ops::snake_(s.cx(), x, s.random({width}, 5), s.random({width}, 6));
      });
      for (const bool of_x : {true, false})
        in_place("add_scaled_norm", [&](Side& s, Tensor& x) {
          const Tensor scale = s.random({width}, 5);
          Tensor normed = s.cx().arena.f32(x.shape());
          ops::add_scaled_norm_(s.cx(), x, s.random({n, width}, 4),
                                static_cast<const float*>(scale.raw()), s.random({width}, 6),
                                s.random({width}, 7), 1e-5f, normed);
          if (!of_x) x = normed;
        });
      in_place("add_scaled", [&](Side& s, Tensor& x) {
        const Tensor scale = s.random({width}, 5);
        ops::add_scaled_(s.cx(), x, s.random({n, width}, 4),
                         static_cast<const float*>(scale.raw()));
      });
    }
}

TEST_F(Devices, Rows) {
  for (const int64_t width : {1, 255, 256, 257}) {
    const std::vector<int64_t> rows{4, 0, 4, 2};
    const std::vector<int32_t> ids(rows.begin(), rows.end());
    same("index_select", [&](Side& s) {
      return ops::index_select(s.cx(), s.random({5, width}, 1), rows);
    });
    same("avg_pool_pairs", [&](Side& s) {
      return ops::avg_pool_pairs(s.cx(), s.random({7, width}, 1));
    });
    same("clone", [&](Side& s) { return ops::clone(s.cx(), s.random({3, width}, 1)); });
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
      same("embedding", [&](Side& s) {
        const Tensor values = Side(nullptr).random({5, width}, 1);
        Tensor table = Tensor::zeros(dtype, {5, width});
        for (int64_t i = 0; i < values.numel(); ++i) {
          if (dtype == DType::f32)
            table.f32()[i] = values.f32()[i];
          else if (dtype == DType::bf16)
            static_cast<BFloat16*>(table.raw())[i] = to_bfloat16(values.f32()[i]);
          else
            static_cast<uint16_t*>(table.raw())[i] = uint16_t(0x3c00 + i % 1000);
        }
        return ops::embedding(s.cx(), ids, s.there(table));
      });
  }
  for (const int64_t n : {0, 1, 9})
    same("copy_rows", [&](Side& s) {
      const Tensor from = s.random({10, 24}, 1);
      Tensor to = s.random({12, 40}, 2);
      const ops::Heads a{static_cast<float*>(const_cast<void*>(from.raw())) + 4, 24, 2, 8},
          b{static_cast<float*>(to.raw()) + 7, 40, 2, 8};
      ops::copy_rows(s.cx(), b.from(2), a.from(1), n);
      return to;
    });
}

TEST_F(Devices, Convolutions) {
  for (const int64_t n : {1, 2, 40, 67}) {
    for (const int stride : {1, 2})
      same("conv1d stride", [&](Side& s) {
        return ops::conv1d(s.cx(), s.random({n, 5}, 1),
                           *s.weight({7, 15}, 2, ops::MatmulPrecision::f32), s.random({7}, 3),
                           {.kernel = 3, .stride = stride});
      });
    for (const int dilation : {1, 3})
      for (const auto padding : {ops::Padding::zeros, ops::Padding::reflect, ops::Padding::none})
        if (padding == ops::Padding::zeros ||
            n > (padding == ops::Padding::none ? 4 : 2) * dilation)
          same("conv1d", [&](Side& s) {
            return ops::conv1d(s.cx(), s.random({n, 5}, 1),
                               *s.weight({6, 25}, 2, ops::MatmulPrecision::f32), s.random({6}, 3),
                               {.kernel = 5, .dilation = dilation, .padding = padding});
          });
    for (const auto& [kernel, stride, padding] :
         std::vector<std::array<int, 3>>{{4, 2, 1}, {6, 3, 0}, {5, 1, 2}})
      same("conv_transpose1d", [&, kernel = kernel, stride = stride, padding = padding](Side& s) {
        return ops::conv_transpose1d(s.cx(), s.random({n, 5}, 1),
                                     *s.weight({kernel * 6, 5}, 2, ops::MatmulPrecision::f32),
                                     s.random({6}, 3), kernel, stride, padding);
      });
    for (const int64_t c : {1, 32, 33})
      same("snake_beta", [&](Side& s) {
        const Tensor filter = s.random({12}, 4);
        return ops::snake_beta(s.cx(), s.random({n, c}, 1), s.random({c}, 2), s.random({c}, 3),
                               static_cast<const float*>(filter.raw()));
      });
  }
}

// The same through cuDNN, where it is asked for (OMNI_CUDNN=1): exactly where that is wanted, with
// TF32 where it will do and where the weights are bfloat16.
TEST_F(Devices, ConvolutionsThroughCudnn) {
  if (!ops::cuda::Convolutions::wanted())
    GTEST_SKIP() << "OMNI_CUDNN=1 and libcudnn.so.9 are wanted";
  Side device(cuda());
  ops::cuda::Convolutions* convolutions =
      static_cast<ops::cuda::Stream&>(device.cx().arena.queue()).convolutions();
  ASSERT_NE(convolutions, nullptr);
  const ops::cuda::ConvolutionShape shape{40, 40, 16, 24, 5, 1, 3, 6, false};
  EXPECT_NE(convolutions->plan(shape), nullptr);
  EXPECT_EQ(convolutions->plan(shape), convolutions->plan(shape));
  for (const int dilation : {1, 3})
    for (const auto& [precision, least, most] :
         {std::tuple{ops::MatmulPrecision::f32, -1.0, double{kTolerance}},
          std::tuple{ops::MatmulPrecision::tf32, 1e-5, 1e-3},
          std::tuple{ops::MatmulPrecision::bf16, 1e-5, 8e-3}}) {
      const auto convolved = [&, precision = precision](Side& s) {
        return s.read(ops::conv1d(s.cx(), s.random({40, 16}, 1), *s.weight({24, 80}, 2, precision),
                                  s.random({24}, 3), {.kernel = 5, .dilation = dilation}));
      };
      Side host(nullptr);
      const auto a = convolved(host), b = convolved(device);
      double worst = 0, scale = 0;
      for (size_t i = 0; i < a.size(); ++i)
        worst = std::max(worst, std::abs(double(a[i]) - b[i])),
        scale = std::max(scale, double(std::abs(a[i])));
      EXPECT_LT(worst / scale, most) << "dilation " << dilation;
      if (kAlwaysRounds) {
        EXPECT_GT(worst / scale, least) << "dilation " << dilation;
      }
    }
}

// A decoder of one layer, token by token in pages that grow, for one sequence and for two: what is
// recorded and run again is what the host computes.
TEST_F(Devices, StepsAreTheSameForEveryRow) {
  constexpr int kHeads = 2, kHeadDim = 12, kWidth = kHeads * kHeadDim;
  const ops::KvLayout layout{DType::f32, 1, kHeads, kHeadDim};
  Side host(nullptr), device(cuda());
  std::vector<std::vector<float>> results[2];
  int side = 0;
  for (Side* s : {&host, &device}) {
    auto& cx = s->cx();
    KvPages pages(layout);
    PagedState one(pages, 1), two(pages, 1);
    ForwardWorkspace workspace(1);
    const Tensor frequency = s->random({kHeadDim / 2}, 7);
    Tensor axes = Tensor::zeros(DType::i32, {kHeadDim / 2});
    for (int i = 0; i < kHeadDim / 2; ++i) static_cast<int32_t*>(axes.raw())[i] = i % 3;
    const Tensor axis = s->there(axes);
    ops::PagedBatch& batch = workspace.batch;
    const auto work = [&](ops::Context& on, const Tensor& x) {
      Tensor q = ops::clone(on, x);
      const int64_t n = x.dim(0);
      const ops::Heads heads{static_cast<float*>(q.raw()), kWidth, kHeads, kHeadDim};
      const Tensor angles = ops::rotary_table(on, batch.there().positions, n, frequency, axis);
      const auto* cos = static_cast<const float*>(angles.raw());
      const ops::Rotary rotary{cos, cos + angles.numel() / 2};
      const Tensor k = ops::clone(on, x);
      ops::rotate_and_append(
          on, batch, layout, 0, heads,
          {static_cast<float*>(const_cast<void*>(k.raw())), kWidth, kHeads, kHeadDim},
          {static_cast<float*>(const_cast<void*>(x.raw())), kWidth, kHeads, kHeadDim}, rotary,
          rotary);
      return ops::paged_attention(on, {&heads, 1}, batch, layout, 0);
    };
    for (int row = 0; row < 150; ++row) {
      Arena::Scope scope(cx.arena);
      std::vector<PagedState*> states{&one};
      if (row % 5 > 1) states.push_back(&two);
      if (row == 145) one.truncate(10);
      batch.clear();
      for (PagedState* state : states) {
        state->reserve(cx.arena, Lane::text, 1);
        batch.add(state->lanes(), std::vector<uint8_t>{0});
      }
      const auto n = int64_t(states.size());
      for (ops::RotaryPosition& p : batch.add_positions(n)) p = {row, 2 * row + 1, 3};
      batch.upload(cx);
      // What is in use lies elsewhere each time, and stays as it is.
      const Tensor in_use = ops::clone(cx, s->random({1 + row % 7, kWidth}, uint32_t(row)));
      results[side].push_back(
          s->read(workspace.run(cx, s->random({n, kWidth}, uint32_t(row)), 0, work)));
      results[side].push_back(s->read(in_use));
      for (PagedState* state : states) state->advance(Lane::text, 1);
    }
    EXPECT_EQ(one.length(), 15);
    EXPECT_EQ(two.length(), 90);
    ++side;
  }
  for (size_t row = 0; row < results[0].size(); ++row)
    for (size_t i = 0; i < results[0][row].size(); ++i)
      ASSERT_NEAR(results[0][row][i], results[1][row][i], kTolerance * 4) << "row " << row;
}

// A layer of a tower, again and again with other values: one run, one recording, then replays, a
// shape apart from the other; another owner and another arena have their own.
TEST_F(Devices, RecordedWork) {
  Side host(nullptr), device(cuda());
  constexpr int64_t kWidth = 24;
  const Recorded recorded, other;  // of the weights, which last as long
  const auto on_host = host.weight({3 * kWidth, kWidth}, 2, ops::MatmulPrecision::f32),
             on_device = device.weight({3 * kWidth, kWidth}, 2, ops::MatmulPrecision::f32);
  int n_asked = 0;
  const auto layer = [&](Side& s, const Recorded& by, int64_t n, uint32_t seed, float divisor) {
    const auto work = [&](ops::Context& cx, std::span<const Tensor> inputs) {
      if (cx.arena.device()) ++n_asked;
      const Tensor qkv =
          ops::linear(cx, inputs[0], cx.arena.device() ? *on_device : *on_host, Tensor());
      const auto heads = [&](int part) {
        return ops::Heads{static_cast<float*>(const_cast<void*>(qkv.raw())) + part * kWidth,
                          3 * kWidth, 2, kWidth / 2};
      };
      const int64_t spans[] = {0, n / 3, n}, last[] = {n - 1, 0};
      Tensor y = ops::attention(cx, heads(0), heads(1), heads(2), std::span<const int64_t>(spans));
      y = ops::attention(cx, heads(2), heads(0), heads(1), std::span<const int64_t>(spans));
      ops::add_(cx, y, inputs[1]);
      ops::div_(cx, y, divisor);
      return Recorded::Tensors{y, ops::index_select(cx, y, last)};
    };
    const Tensor inputs[] = {s.random({n, kWidth}, seed), s.random({n, kWidth}, seed + 1),
                             Tensor()};
    Arena::Scope scope(s.cx().arena);
    const auto results = by(s.cx(), inputs, int64_t(divisor), work);
    auto all = s.read(results[0]);
    for (const float x : s.read(results[1])) all.push_back(x);
    return all;
  };
  const auto compare = [&](Side& side, const Recorded& by, int64_t n, uint32_t seed,
                           float divisor) {
    const auto a = layer(host, by, n, seed, divisor), b = layer(side, by, n, seed, divisor);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], 50 * kTolerance) << n << " rows, " << seed << ", at " << i;
  };
  for (uint32_t seed = 0; seed < 5; ++seed)
    for (const int64_t n : {40, 3, 90}) compare(device, recorded, n, seed, 1);
  EXPECT_EQ(n_asked, 6) << "two times a shape";
  for (uint32_t seed = 0; seed < 3; ++seed) compare(device, recorded, 40, seed, 3);
  EXPECT_EQ(n_asked, 8) << "and a variant";
  for (uint32_t seed = 0; seed < 3; ++seed) compare(device, other, 40, seed, 1);
  EXPECT_EQ(n_asked, 10) << "and an owner";
  Side second(cuda());
  for (uint32_t seed = 0; seed < 3; ++seed) compare(second, recorded, 40, seed, 1);
  EXPECT_EQ(n_asked, 12) << "and an arena";
  for (size_t i = 1; i < Recorded::kMost; ++i) compare(second, recorded, 3, 0, float(i));
  n_asked = 0;
  compare(second, recorded, 40, 9, 1);
  EXPECT_EQ(n_asked, 0);
  compare(second, recorded, 3, 0, Recorded::kMost);
  compare(second, recorded, 40, 9, 1);
  EXPECT_EQ(n_asked, 1) << "it was used after the others";
  compare(second, recorded, 3, 0, 1);
  EXPECT_EQ(n_asked, 2) << "the one longest unused was forgotten";
}

TEST_F(Devices, RecordingRefusesToWait) {
  Side device(cuda());
  const Tensor x = device.random({1, 4}, 1), elsewhere = Side(nullptr).random({1, 4}, 2);
  EXPECT_THROW(device.cx().arena.queue().record([&] { device.read(x); }), Error);
  EXPECT_THROW(device.cx().arena.queue().record([&] { ops::from_host(device.cx(), elsewhere); }),
               Error);
  EXPECT_EQ(device.read(x).size(), 4u);  // and is usable after
}

// A stream of sound in pieces, its head mirrored and its tail silent; loud beside quiet, and bands
// with little in them.
TEST_F(Devices, LogMel) {
  Side device(cuda());
  for (const int n_mels : {80, 128}) {
    std::vector<float> sound, host, there;
    for (int i = 0; i < 4321; ++i)
      sound.push_back(i < 2000 ? 0.5f * std::sin(0.3f * float(i))
                               : 1e-4f * std::sin(1.1f * float(i)) + 1e-6f * float(i % 7));
    LogMel a(n_mels), b = make_log_mel(device.cx().arena, n_mels);
    for (size_t at = 0; at < sound.size(); at += 700) {
      const auto piece = std::span(sound).subspan(at, std::min<size_t>(700, sound.size() - at));
      a.push(piece, host), b.push(piece, there);
      ASSERT_EQ(host.size(), there.size());
    }
    a.finish(host), b.finish(there);
    ASSERT_EQ(host.size(), there.size());
    ASSERT_EQ(host.size(), size_t(28 * n_mels));
    for (size_t i = 0; i < host.size(); ++i) ASSERT_NEAR(host[i], there[i], 1e-5) << i;
  }
}

// Both ways from raw frames to patches: the same 8-bit components.
TEST_F(Devices, FramesBecomePatches) {
  Side device(cuda());
  std::mt19937 random(1);
  struct {
    int width, height, padding;
    PictureSize size;
  } const cases[] = {{64, 36, 0, {28, 56}},
                     {101, 67, 13, {56, 84}},
                     {56, 28, 0, {28, 56}},
                     {20, 15, 5, {56, 56}},
                     {400, 30, 0, {28, 28}}};
  DevicePatches patches;  // one for all, as sizes change in a stream
  FrameScaler scaler;
  for (const auto& c : cases)
    for (const PixelFormat format :
         {PixelFormat::nv12, PixelFormat::p010, PixelFormat::i420, PixelFormat::rgb,
          PixelFormat::bgr, PixelFormat::rgba, PixelFormat::bgra, PixelFormat::gray8})
      for (const bool on_device : {false, true}) {
        const int step = interleaved(format).step, chroma = (c.width + 1) / 2;
        VideoFrame frame{format, c.width, c.height, {}, {}, ColourMatrix::bt709, c.padding != 0, 0};
        std::vector<uint8_t> planes[3];
        Tensor there[3];
        const int widths[] = {c.width * std::max(step, 1) * sample_bytes(format),
                              format == PixelFormat::nv12 || format == PixelFormat::p010
                                  ? 2 * chroma * sample_bytes(format)
                              : format == PixelFormat::i420 ? chroma
                                                            : 0,
                              format == PixelFormat::i420 ? chroma : 0};
        for (int p = 0; p < 3; ++p) {
          if (!widths[p]) continue;
          frame.stride[p] = widths[p] + c.padding;
          planes[p].resize(size_t(frame.stride[p]) * size_t(p ? (c.height + 1) / 2 : c.height));
          for (uint8_t& x : planes[p]) x = uint8_t(random());
          frame.data[p] = planes[p].data();
        }
        std::vector<uint8_t> rgb(size_t(3) * size_t(c.size.width) * size_t(c.size.height));
        scaler.run(frame, c.size, rgb.data());
        const int64_t n = int64_t{c.size.width / 14} * (c.size.height / 14);
        std::vector<float> host(size_t(n * 1176));
        patchify({}, c.size, rgb.data(), rgb.data(), host.data());
        if (on_device) {
          frame.on_device = true;
          for (int p = 0; p < 3; ++p) {
            if (!widths[p]) continue;
            there[p] = to_device(
                Tensor::view(planes[p].data(), DType::u8, {int64_t(planes[p].size())}), cuda());
            frame.data[p] = static_cast<const uint8_t*>(there[p].raw());
          }
        }
        Tensor out = device.cx().arena.f32({n, 1176});
        for (int index : {0, 1}) patches.run(device.cx().arena, {}, frame, c.size, index, out);
        if (on_device)  // what was read is the producer's again
          for (int p = 0; p < 3; ++p)
            if (widths[p])
              cuda()
                  ->make_queue(Device::Priority::normal)
                  ->upload(there[p].raw(), std::vector<uint8_t>(planes[p].size()).data(),
                           planes[p].size());
        const auto got = device.read(out);
        ASSERT_EQ(got.size(), host.size());
        double worst = 0;
        for (size_t i = 0; i < host.size(); ++i)
          worst = std::max(worst, std::abs(double(got[i]) - host[i]));
        // a level of 255 is above 0.014
        EXPECT_LT(worst, 1e-6) << c.width << "x" << c.height << " format " << int(format);
      }
}

// Frames of which one fills the staging, so that it is on the device before the computation with
// the frame before it was even begun.
TEST_F(Devices, FramesWaitForTheirReaders) {
  Side device(cuda());
  DevicePatches patches;
  FrameScaler scaler;
  constexpr int kWidth = 840, kHeight = 60, kStride = 84000;
  const PictureSize size{420, 28};
  constexpr int64_t kGrid = 30 * 2;
  std::vector<uint8_t> frames[4];
  std::vector<Tensor> outs;
  for (int i = 0; i < 4; ++i) {
    for (int at = 0; at < kStride * kHeight; ++at)
      frames[i].push_back(uint8_t(at % kStride / 9 + 50 * i));
    outs.push_back(device.cx().arena.lasting(DType::f32, {kGrid, 1176}));
    device.cx().arena.queue().upload(outs.back().raw(),
                                     std::vector<float>(size_t(outs.back().numel())).data(),
                                     outs.back().nbytes());
  }
  const auto frame = [&](int i) {
    VideoFrame f{PixelFormat::gray8, kWidth, kHeight, {}, {}, ColourMatrix::bt709, true, 0};
    // far apart: what lies between is copied, too
    f.data[0] = frames[i].data(), f.stride[0] = kStride;
    return f;
  };
  for (int i = 0; i < 4; ++i)
    patches.run(device.cx().arena, {}, frame(i), size, i % 2, outs[size_t(i)]);
  for (int i = 0; i < 4; ++i) {
    std::vector<uint8_t> rgb(size_t(3) * size_t(size.width) * size_t(size.height));
    scaler.run(frame(i), size, rgb.data());
    std::vector<float> host(size_t(kGrid * 1176));
    patchify({}, size, rgb.data(), rgb.data(), host.data());
    const auto got = device.read(outs[size_t(i)]);
    for (size_t at = 0; at < got.size(); ++at) {
      const bool written = int(at % 1176 / 196 % 2) == i % 2;  // its half of the pair
      ASSERT_NEAR(got[at], written ? host[at] : 0, 1e-6) << "frame " << i;
    }
  }
}

TEST_F(Devices, UploadsLargerThanTheStaging) {
  Side device(cuda());
  std::vector<float> values(size_t(3) << 20);  // 12 MiB through 4
  for (size_t i = 0; i < values.size(); ++i) values[i] = float(i);
  std::vector<float> more{1, 2, 3};
  const Tensor a = ops::from_host(device.cx(), Tensor::view(more.data(), DType::f32, {3})),
               b = ops::from_host(
                   device.cx(), Tensor::view(values.data(), DType::f32, {int64_t(values.size())}));
  const std::vector<float> again = device.read(b);
  EXPECT_EQ(again, values);
  EXPECT_EQ(device.read(a), more);
}

TEST_F(Devices, AHostTensorOnADeviceIsRefused) {
  Side device(cuda());
  Tensor x = device.random({2, 2}, 1);
  EXPECT_THROW(x.f32(), Error);
}

}  // namespace
}  // namespace omni

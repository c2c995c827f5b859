// omni-spectrogram IN OUT.png: what a recording sounds like, as a picture: time to the right, 0 to
// 8 kHz upwards, 70 dB from black to white. For listening with the eyes.
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/fft/gstfftf32.h>
#include <gst/gst.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

constexpr int kRate = 16000, kWindow = 512, kHeight = kWindow / 2, kMostWidth = 4096,
              kPixelsASecond = 100;

std::vector<float> samples_of(const std::string& uri) {
  std::vector<float> out;
  GstElement* p = gst_parse_launch(
      ("uridecodebin uri=\"" + uri +
       "\" ! audioconvert ! audioresample ! audio/x-raw,format=F32LE,channels=1,rate=" +
       std::to_string(kRate) + " ! appsink name=out sync=false")
          .c_str(),
      nullptr);
  GstElement* sink = gst_bin_get_by_name(GST_BIN(p), "out");
  gst_element_set_state(p, GST_STATE_PLAYING);
  while (GstSample* sample = gst_app_sink_pull_sample(GST_APP_SINK(sink))) {
    GstMapInfo map;
    gst_buffer_map(gst_sample_get_buffer(sample), &map, GST_MAP_READ);
    const auto* x = reinterpret_cast<const float*>(map.data);
    out.insert(out.end(), x, x + map.size / sizeof(float));
    gst_buffer_unmap(gst_sample_get_buffer(sample), &map);
    gst_sample_unref(sample);
  }
  gst_element_set_state(p, GST_STATE_NULL);
  gst_object_unref(sink);
  gst_object_unref(p);
  return out;
}

// RGB, row 0 on top.
std::vector<guint8> picture(const std::vector<float>& x, int width) {
  GstFFTF32* fft = gst_fft_f32_new(kWindow, FALSE);
  std::vector<float> frame(kWindow), power(size_t(width) * kHeight);
  std::vector<GstFFTF32Complex> bins(kWindow / 2 + 1);
  float highest = 1e-12f;
  for (int column = 0; column < width; ++column) {
    const auto centre = std::ptrdiff_t(double(column) / width * double(x.size()));
    for (int i = 0; i < kWindow; ++i) {
      const std::ptrdiff_t at = centre - kWindow / 2 + i;
      frame[size_t(i)] = at >= 0 && at < std::ptrdiff_t(x.size()) ? x[size_t(at)] : 0;
    }
    gst_fft_f32_window(fft, frame.data(), GST_FFT_WINDOW_HANN);
    gst_fft_f32_fft(fft, frame.data(), bins.data());
    for (int row = 0; row < kHeight; ++row) {
      const GstFFTF32Complex& c = bins[size_t(kHeight - row)];
      const float p = c.r * c.r + c.i * c.i;
      power[size_t(row) * size_t(width) + size_t(column)] = p;
      highest = std::max(highest, p);
    }
  }
  gst_fft_f32_free(fft);
  std::vector<guint8> rgb;
  for (const float p : power) {
    const float v = std::clamp(1 + std::log10(std::max(p, 1e-20f) / highest) / 7, 0.f, 1.f);
    for (const float scale :
         {1.6f * v - 0.3f, 1.8f * v - 0.7f,
          v < 0.5f ? 1.4f * v : 1.4f - 1.4f * v + 1.2f * std::max(0.f, v - 0.7f)})
      rgb.push_back(guint8(255 * std::clamp(scale, 0.f, 1.f)));
  }
  return rgb;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  if (argc != 3) return std::fprintf(stderr, "usage: omni-spectrogram IN OUT.png\n"), 2;
  gchar* uri =
      gst_uri_is_valid(argv[1]) ? g_strdup(argv[1]) : gst_filename_to_uri(argv[1], nullptr);
  const std::vector<float> x = samples_of(uri);
  g_free(uri);
  if (x.empty()) return std::fprintf(stderr, "omni-spectrogram: no sound in %s\n", argv[1]), 1;
  const int width = std::clamp(int(x.size() * kPixelsASecond / kRate) / 4 * 4, 64, kMostWidth);
  const std::vector<guint8> rgb = picture(x, width);
  GstElement* p = gst_parse_launch(
      ("appsrc name=in format=time caps=video/x-raw,format=RGB,framerate=1/1,width=" +
       std::to_string(width) + ",height=" + std::to_string(kHeight) +
       " ! pngenc ! filesink name=out")
          .c_str(),
      nullptr);
  GstElement *in = gst_bin_get_by_name(GST_BIN(p), "in"),
             *out = gst_bin_get_by_name(GST_BIN(p), "out");
  g_object_set(out, "location", argv[2], nullptr);
  gst_element_set_state(p, GST_STATE_PLAYING);
  GstBuffer* buffer = gst_buffer_new_memdup(rgb.data(), rgb.size());
  GST_BUFFER_PTS(buffer) = 0;
  gst_app_src_push_buffer(GST_APP_SRC(in), buffer);
  gst_app_src_end_of_stream(GST_APP_SRC(in));
  GstBus* bus = gst_element_get_bus(p);
  GstMessage* m = gst_bus_timed_pop_filtered(bus, 30 * GST_SECOND,
                                             GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  const bool ok = m && GST_MESSAGE_TYPE(m) == GST_MESSAGE_EOS;
  if (m) gst_message_unref(m);
  gst_element_set_state(p, GST_STATE_NULL);
  for (gpointer o : {gpointer(bus), gpointer(in), gpointer(out), gpointer(p)}) gst_object_unref(o);
  if (!ok) return std::fprintf(stderr, "omni-spectrogram: could not write %s\n", argv[2]), 1;
  return 0;
}

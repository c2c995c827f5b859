// Decoded pictures that stay in CUDA memory on their way to the vision tower. Built where
// GStreamer's CUDA library and the toolkit's headers are; elsewhere nothing of it is there and such
// buffers are downloaded by whoever maps them.
//
// The neighbours are given the context that the engine computes in (the device's primary one), and
// a pool in it. A buffer of another context is downloaded.
#pragma once

#include <gst/video/video.h>

#include <string>

class GstOmniCudaFrames {
 public:
  GstOmniCudaFrames() = default;
  ~GstOmniCudaFrames();
  GstOmniCudaFrames(const GstOmniCudaFrames&) = delete;

  // Answers CONTEXT queries for a CUDA context and ALLOCATION queries for CUDA memory, where
  // `device` is a CUDA device; false for all others. Any thread.
  bool answer(GstElement* element, GstQuery* query, const std::string& device);
  // GST_MAP_CUDA where the buffer's memory is of our context and complete: to be mapped with
  // GST_MAP_READ and looked at on the device; else 0.
  GstMapFlags map_flags(GstBuffer* buffer);

  // Of a pad template: the caps with the CUDA memory feature ahead.
  static std::string with_cuda_memory(const std::string& caps);

 private:
  gpointer context(const std::string& device);  // GstCudaContext or nullptr

  GMutex lock_ = {};
  std::string opened_;          // under lock_: the device of context_
  gpointer context_ = nullptr;  // under lock_
};

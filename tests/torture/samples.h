// Caps and buffers to feed pads with: good ones of every medium that elements of the plugin take,
// and wild ones.
#pragma once

#include <gst/gst.h>

#include "torture/random.h"

namespace omni_test {

constexpr GstClockTime kPiece = 200 * GST_MSECOND;  // of a good buffer

// Records what the tokenizers make of a clip, to feed models with. Once, after gst_init().
void record_samples();
void forget_samples();

// Caps that `pad` takes, the same every time; a new reference.
GstCaps* plain_caps(GstPad* pad);
// One of the many that it takes.
GstCaps* good_caps(GstPad* pad, Random& random);
GstCaps* wild_caps(Random& random);

// As much as goes with kPiece, of what the caps say, without a time; `n` counts the buffers of a
// stream.
GstBuffer* good_buffer(const GstCaps* caps, guint64 n);
// What contradicts the caps: sizes, metas, memory.
GstBuffer* wild_buffer(const GstCaps* caps, Random& random);

}  // namespace omni_test

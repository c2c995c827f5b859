// A text pad of omnimodel: whole answers, or with `pieces` their pieces while they are written.
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS
GType gst_omni_text_pad_get_type();
G_END_DECLS

// Not for pads of another type.
bool gst_omni_text_pad_wants_pieces(GstPad* pad);

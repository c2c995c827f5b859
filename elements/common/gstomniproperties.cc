#include "common/gstomniproperties.h"

GParamFlags gst_omni_param_flags(GstOmniMutable changes) {
  const int when =
      changes == GstOmniMutable::playing ? GST_PARAM_MUTABLE_PLAYING : GST_PARAM_MUTABLE_READY;
  return GParamFlags(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | when);
}

// The plugin `omni`: one line an element.
#include <gst/gst.h>

#include "bins/gstomnibin.h"
#include "captions/gstomnicaptionformat.h"
#include "captions/gstomnicea608enc.h"
#include "captions/gstomniebuttdenc.h"
#include "common/gstomnicontext.h"
#include "model/gstomnimodel.h"
#include "outputs/gstomnicombiner.h"
#include "outputs/gstomnioverlay.h"
#include "tokenizers/gstomniaudiotokenizer.h"
#include "tokenizers/gstomnivideotokenizer.h"
#include "transcriber/gstomnitranscriber.h"

static gboolean plugin_init(GstPlugin* plugin) {
  gst_omni_install_log_sink();
  gboolean ok = TRUE;
  ok &= GST_ELEMENT_REGISTER(omnivideotokenizer, plugin);
  ok &= GST_ELEMENT_REGISTER(omniaudiotokenizer, plugin);
  ok &= GST_ELEMENT_REGISTER(omnimodel, plugin);
  ok &= GST_ELEMENT_REGISTER(omnitranscriber, plugin);
  ok &= GST_ELEMENT_REGISTER(omnicaptionformat, plugin);
  ok &= GST_ELEMENT_REGISTER(omnicea608enc, plugin);
  ok &= GST_ELEMENT_REGISTER(omniebuttdenc, plugin);
  ok &= GST_ELEMENT_REGISTER(omnicombiner, plugin);
  ok &= GST_ELEMENT_REGISTER(omnioverlay, plugin);
  ok &= GST_ELEMENT_REGISTER(omnibin, plugin);
  return ok;
}

#define PACKAGE "gst-omni"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, omni, "Unified multimodal models: live video and audio in, text, speech and places out", plugin_init, OMNI_VERSION, "LGPL",
                  "gst-omni", "gst-omni")

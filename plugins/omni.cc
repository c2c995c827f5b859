// The plugin `omni`: one line an element.
#include <gst/gst.h>

#include <string>

#include "bins/gstomnibin.h"
#include "captions/gstomnicaptionformat.h"
#include "captions/gstomnicea608enc.h"
#include "captions/gstomniebuttdenc.h"
#include "common/gstomnicontext.h"
#include "model/gstomnimodel.h"
#include "omni/engine.h"
#include "overlay/gstomnicombiner.h"
#include "overlay/gstomnioverlay.h"
#include "streams/gstomnianswermeta.h"
#include "tokenizers/gstomniaudiotokenizer.h"
#include "tokenizers/gstomnivideotokenizer.h"
#include "tokens/gstomnitokens.h"
#include "transcriber/gstomnitranscriber.h"

static gboolean plugin_init(GstPlugin* plugin) {
  gst_omni_install_log_sink();
  gst_omni_register_answer_meta();
  const gchar* environment[] = {
      // the registry keeps the description: another level is another plugin
      "OMNI_CPU_ISA", nullptr};
  gst_plugin_add_dependency(plugin, environment, nullptr, nullptr, GST_PLUGIN_DEPENDENCY_FLAG_NONE);
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
  gst_omni_token_meta_get_info();  // programs may make token buffers of their own
  return ok;
}

// As GST_PLUGIN_DEFINE would, but for a description that names the instructions in use.
extern "C" {
GST_PLUGIN_EXPORT const GstPluginDesc* gst_plugin_omni_get_desc(void);
GST_PLUGIN_EXPORT void gst_plugin_omni_register(void);
}

const GstPluginDesc* gst_plugin_omni_get_desc() {
  static const std::string description = [] {
    const std::string text =
        "Unified multimodal models: live video and audio in, text, speech and places out; computes "
        "with ";
    try {
      return text + omni::cpu_instructions();
    } catch (const omni::Error& e) {
      return text + "nothing: " + e.what();
    }
  }();
  static const GstPluginDesc desc = {GST_VERSION_MAJOR,
                                     GST_VERSION_MINOR,
                                     "omni",
                                     description.c_str(),
                                     plugin_init,
                                     OMNI_VERSION,
                                     "LGPL",
                                     "gst-omni",
                                     "gst-omni",
                                     OMNI_DOC_URI,
                                     OMNI_RELEASE_DATE,
                                     GST_PADDING_INIT};
  return &desc;
}

void gst_plugin_omni_register() {
  const GstPluginDesc& d = *gst_plugin_omni_get_desc();
  gst_plugin_register_static(d.major_version, d.minor_version, d.name, d.description, d.plugin_init,
                             d.version, d.license, d.source, d.package, d.origin);
}

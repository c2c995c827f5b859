#include "common/gstomnielement.h"

#include <cstring>

#include "common/gstomniptr.h"

void gst_omni_set_metadata(GstElementClass* klass, const char* name, const char* classification,
                           const char* description) {
  gst_element_class_set_static_metadata(klass, name, classification, description, OMNI_AUTHOR);
  CharPtr factory(g_ascii_strdown(G_OBJECT_CLASS_NAME(klass) + std::strlen("Gst"), -1));
  CharPtr page(g_strdup_printf("%s/docs/elements/%s.md", OMNI_DOC_URI, factory.get()));
  gst_element_class_add_metadata(klass, GST_ELEMENT_METADATA_DOC_URI, page.get());
}

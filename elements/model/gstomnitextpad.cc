#include "model/gstomnitextpad.h"

#include "common/gstomniproperties.h"

namespace {

struct GstOmniTextPad {
  GstPad pad;
  gint wants_pieces;  // atomic
};
struct GstOmniTextPadClass {
  GstPadClass parent_class;
};

constexpr guint kPieces = 1;

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  if (id == kPieces)
    g_atomic_int_set(&reinterpret_cast<GstOmniTextPad*>(object)->wants_pieces,
                     g_value_get_boolean(value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  if (id == kPieces)
    g_value_set_boolean(value, gst_omni_text_pad_wants_pieces(GST_PAD(object)));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

void class_init(gpointer g_class, gpointer) {
  auto* object = G_OBJECT_CLASS(g_class);
  object->set_property = set_property;
  object->get_property = get_property;
  g_object_class_install_property(
      object, kPieces,
      g_param_spec_boolean("pieces", "Pieces",
                           "Answers leave piece by piece while they are written; the last buffer "
                           "of each has the flag `marker`",
                           FALSE, gst_omni_param_flags(GstOmniMutable::playing)));
}

}  // namespace

GType gst_omni_text_pad_get_type() {
  static const GType type = [] {
    const GTypeInfo info = {
        sizeof(GstOmniTextPadClass), nullptr, nullptr, class_init, nullptr, nullptr,
        sizeof(GstOmniTextPad),      0,       nullptr, nullptr};
    return g_type_register_static(GST_TYPE_PAD, "GstOmniTextPad", &info, GTypeFlags(0));
  }();
  return type;
}

bool gst_omni_text_pad_wants_pieces(GstPad* pad) {
  return g_atomic_int_get(&reinterpret_cast<GstOmniTextPad*>(pad)->wants_pieces);
}

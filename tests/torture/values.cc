#include "torture/values.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#define CHECKPOINT(NAME) OMNI_SOURCE_DIR "/tests/fixtures/" NAME "/checkpoint"

namespace omni_test {
namespace {

void set_number(GValue* value, double low, double high, Random& random) {
  static constexpr double kParts[] = {0, 1, 0.5, 0.001, 0.999};
  const double part = random.one_in(2) ? random.pick(kParts) : random.unit() * random.unit();
  g_value_set_double(value, low + (high - low) * part);
  static constexpr double kOdd[] = {NAN, INFINITY, -INFINITY, -1, 0, 1e-300, 1e300};
  if (random.one_in(8)) g_value_set_double(value, random.pick(kOdd));
}

template <class Number>
Number whole(Number low, Number high, Random& random) {
  switch (random.below(4)) {
    case 0:
      return low;
    case 1:
      return high;
    case 2: {
      const auto span = std::min<uint64_t>(uint64_t(high) - uint64_t(low), 1000);
      return Number(uint64_t(low) + random.below(span + 1));
    }
    default: {
      const auto span = uint64_t(high) - uint64_t(low);
      return Number(uint64_t(low) + (span == UINT64_MAX ? random.bits() : random.below(span + 1)));
    }
  }
}

// A text that a property of this name could mean, or one that none does.
std::string text_for(const std::string& property, Random& random) {
  static const std::vector<std::string> checkpoints = {
      CHECKPOINT("qwen2_5_omni/a"), CHECKPOINT("qwen2_5_omni/b"), CHECKPOINT("qwen2_5_omni/c"),
      CHECKPOINT("whisper"),        OMNI_SOURCE_DIR "/docs",      "/nowhere"};
  static const std::vector<std::string> devices = {"auto", "cpu", "cuda", "cuda:7", "npu"};
  static const std::vector<std::string> schemas = {
      "boxes",
      "points",
      R"({"type":"object","properties":{"a":{"type":"integer"}}})",
      R"({"enum":["yes","no"]})",
      "{",
      R"({"type":"array","minItems":1e300})"};
  if (!random.one_in(5)) {
    if (property == "model-path") return random.pick(checkpoints);
    if (property == "device") return random.pick(devices);
    if (property == "json-schema") return random.pick(schemas);
  }
  return random_text(random);
}

void set_text(GValue* value, const std::string& property, Random& random) {
  if (random.one_in(6))
    g_value_set_string(value, nullptr);
  else
    g_value_set_string(value, text_for(property, random).c_str());
}

void set_array(GValue* value, Random& random) {
  for (uint64_t i = random.below(5); i > 0; --i) {
    GValue one = G_VALUE_INIT;
    g_value_init(&one, G_TYPE_STRING);
    set_text(&one, "", random);
    gst_value_array_append_and_take_value(value, &one);
  }
}

void set_by_spec(GValue* value, GParamSpec* spec, Random& random) {
  if (auto* s = G_IS_PARAM_SPEC_INT(spec) ? G_PARAM_SPEC_INT(spec) : nullptr)
    g_value_set_int(value, whole(s->minimum, s->maximum, random));
  else if (auto* u = G_IS_PARAM_SPEC_UINT(spec) ? G_PARAM_SPEC_UINT(spec) : nullptr)
    g_value_set_uint(value, whole(u->minimum, u->maximum, random));
  else if (auto* i = G_IS_PARAM_SPEC_INT64(spec) ? G_PARAM_SPEC_INT64(spec) : nullptr)
    g_value_set_int64(value, whole(i->minimum, i->maximum, random));
  else if (auto* l = G_IS_PARAM_SPEC_UINT64(spec) ? G_PARAM_SPEC_UINT64(spec) : nullptr)
    g_value_set_uint64(value, whole(l->minimum, l->maximum, random));
  else if (auto* d = G_IS_PARAM_SPEC_DOUBLE(spec) ? G_PARAM_SPEC_DOUBLE(spec) : nullptr)
    set_number(value, d->minimum, d->maximum, random);
  else if (G_IS_PARAM_SPEC_BOOLEAN(spec))
    g_value_set_boolean(value, random.one_in(2));
  else if (auto* e = G_IS_PARAM_SPEC_ENUM(spec) ? G_PARAM_SPEC_ENUM(spec) : nullptr)
    g_value_set_enum(value, e->enum_class->values[random.below(e->enum_class->n_values)].value);
  else if (G_IS_PARAM_SPEC_STRING(spec))
    set_text(value, g_param_spec_get_name(spec), random);
  else if (GST_IS_PARAM_SPEC_FRACTION(spec)) {
    auto* f = GST_PARAM_SPEC_FRACTION(spec);
    random.one_in(2) ? gst_value_set_fraction(value, f->min_num, f->min_den)
                     : gst_value_set_fraction(value, gint(1 + random.below(60)), 1);
  } else if (GST_IS_PARAM_SPEC_ARRAY_LIST(spec))
    set_array(value, random);
}

}  // namespace

std::string random_text(Random& random) {
  static const std::vector<std::string> texts = {"",
                                                 "What is there?",
                                                 "ball",
                                                 "en",
                                                 "Sans 9",
                                                 "\xff\xfe",
                                                 "\xed\xa0\x80",
                                                 "<b>&</i>",
                                                 std::string("a\0b", 3),
                                                 "-->\n\n00:00",
                                                 "漢字 ก ა",
                                                 "%s%n"};
  if (!random.one_in(10)) return random.pick(texts);
  return std::string(random.below(200000), char('a' + random.below(26)));
}

std::vector<GParamSpec*> own_properties(GObject* object) {
  guint n = 0;
  GParamSpec** all = g_object_class_list_properties(G_OBJECT_GET_CLASS(object), &n);
  std::vector<GParamSpec*> own;
  for (guint i = 0; i < n; ++i)
    if (all[i]->flags & G_PARAM_WRITABLE && !(all[i]->flags & G_PARAM_CONSTRUCT_ONLY) &&
        g_str_has_prefix(g_type_name(all[i]->owner_type), "GstOmni"))
      own.push_back(all[i]);
  g_free(all);
  return own;
}

void set_random_property(GObject* object, GParamSpec* spec, Random& random) {
  GValue value = G_VALUE_INIT;
  g_value_init(&value, spec->value_type);
  set_by_spec(&value, spec, random);
  // Not more threads than a machine of the tests has time for.
  if (g_str_equal(spec->name, "threads")) g_value_set_uint(&value, guint(random.below(4)));
  g_object_set_property(object, spec->name, &value);
  g_value_unset(&value);
}

std::vector<guint> action_signals(GType type) {
  std::vector<guint> actions;
  for (GType t = type; t && t != GST_TYPE_ELEMENT && t != GST_TYPE_BIN; t = g_type_parent(t)) {
    guint n = 0;
    guint* ids = g_signal_list_ids(t, &n);
    for (guint i = 0; i < n; ++i) {
      GSignalQuery query;
      g_signal_query(ids[i], &query);
      if (query.signal_flags & G_SIGNAL_ACTION) actions.push_back(ids[i]);
    }
    g_free(ids);
  }
  return actions;
}

void emit_random(GObject* object, guint signal, Random& random) {
  GSignalQuery query;
  g_signal_query(signal, &query);
  std::vector<GValue> values(query.n_params + 1, GValue(G_VALUE_INIT));
  g_value_init(&values[0], G_OBJECT_TYPE(object));
  g_value_set_object(&values[0], object);
  for (guint i = 0; i < query.n_params; ++i) {
    const GType type = query.param_types[i] & ~G_SIGNAL_TYPE_STATIC_SCOPE;
    g_value_init(&values[i + 1], type);
    if (type == G_TYPE_STRING) set_text(&values[i + 1], "", random);
  }
  GValue result = G_VALUE_INIT;
  const GType type = query.return_type & ~G_SIGNAL_TYPE_STATIC_SCOPE;
  if (type != G_TYPE_NONE) g_value_init(&result, type);
  g_signal_emitv(values.data(), signal, 0, &result);
  for (GValue& v : values) g_value_unset(&v);
  if (type != G_TYPE_NONE) g_value_unset(&result);
}

}  // namespace omni_test

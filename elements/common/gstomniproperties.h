// GObject properties from a table: name, where the value lives in the element's settings, default,
// range, blurb. One table drives installation, set and get; the settings remember which of them
// somebody set, since those win over what a checkpoint asks for.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "omni/types.h"

struct GstOmniSettings {
  // guards every member of the derived struct; never held while calling out
  std::mutex lock;
  uint64_t set_by_user = 0;  // bit i: property i + 1
};

enum class GstOmniMutable { ready, playing };  // the highest state in which a change has its effect

template <class Settings>
struct GstOmniProperty {
  using Member = std::variant<bool Settings::*, int Settings::*, guint Settings::*,
                              gint64 Settings::*, double Settings::*, std::string Settings::*,
                              std::vector<std::string> Settings::*, omni::Rational Settings::*>;
  const char *name, *nick, *blurb;
  Member member;
  double low = 0, high = 0;  // of numbers
  GstOmniMutable changes = GstOmniMutable::ready;
  GType (*enum_type)() = nullptr;  // for an int that is a GEnum
};

GParamFlags gst_omni_param_flags(GstOmniMutable changes);

template <class Settings>
class GstOmniProperties {
 public:
  explicit GstOmniProperties(std::vector<GstOmniProperty<Settings>> table)
      : table_(std::move(table)) {}

  // Installs properties 1 … n with the defaults of a fresh Settings.
  void install(GObjectClass* klass) const {
    const Settings defaults;
    for (size_t i = 0; i < table_.size(); ++i)
      g_object_class_install_property(klass, guint(i + 1), spec(table_[i], defaults));
  }

  guint count() const { return guint(table_.size()); }

  bool set(Settings& settings, guint id, const GValue* value) const {
    if (id < 1 || id > table_.size()) return false;
    std::lock_guard guard(settings.lock);
    settings.set_by_user |= uint64_t{1} << (id - 1);
    std::visit(
        [&](auto member) { assign(settings.*member, value, table_[id - 1].enum_type != nullptr); },
        table_[id - 1].member);
    return true;
  }

  bool get(Settings& settings, guint id, GValue* value) const {
    if (id < 1 || id > table_.size()) return false;
    std::lock_guard guard(settings.lock);
    std::visit(
        [&](auto member) { fetch(settings.*member, value, table_[id - 1].enum_type != nullptr); },
        table_[id - 1].member);
    return true;
  }

  // Whether somebody set the property that lives in `member`. Call with the settings locked.
  template <class T>
  bool was_set(const Settings& settings, T Settings::*member) const {
    for (size_t i = 0; i < table_.size(); ++i)
      if (const auto* m = std::get_if<T Settings::*>(&table_[i].member); m && *m == member)
        return settings.set_by_user >> i & 1;
    return false;
  }

 private:
  using Row = GstOmniProperty<Settings>;

  static GParamSpec* spec(const Row& p, const Settings& d) {
    const GParamFlags flags = gst_omni_param_flags(p.changes);
    struct {
      const Row& p;
      const Settings& d;
      GParamFlags flags;
      GParamSpec* operator()(bool Settings::*m) {
        return g_param_spec_boolean(p.name, p.nick, p.blurb, d.*m, flags);
      }
      GParamSpec* operator()(int Settings::*m) {
        return p.enum_type ? g_param_spec_enum(p.name, p.nick, p.blurb, p.enum_type(), d.*m, flags)
                           : g_param_spec_int(p.name, p.nick, p.blurb, int(p.low), int(p.high),
                                              d.*m, flags);
      }
      GParamSpec* operator()(guint Settings::*m) {
        return g_param_spec_uint(p.name, p.nick, p.blurb, guint(p.low), guint(p.high), d.*m, flags);
      }
      GParamSpec* operator()(gint64 Settings::*m) {
        return g_param_spec_int64(p.name, p.nick, p.blurb, gint64(p.low), gint64(p.high), d.*m,
                                  flags);
      }
      GParamSpec* operator()(double Settings::*m) {
        return g_param_spec_double(p.name, p.nick, p.blurb, p.low, p.high, d.*m, flags);
      }
      GParamSpec* operator()(std::string Settings::*m) {
        return g_param_spec_string(p.name, p.nick, p.blurb,
                                   (d.*m).empty() ? nullptr : (d.*m).c_str(), flags);
      }
      GParamSpec* operator()(std::vector<std::string> Settings::*) {
        return gst_param_spec_array(
            p.name, p.nick, p.blurb,
            g_param_spec_string("element", "Element", "One of them", nullptr, flags), flags);
      }
      GParamSpec* operator()(omni::Rational Settings::*m) {
        return gst_param_spec_fraction(p.name, p.nick, p.blurb, 1, 1000, 1000, 1, (d.*m).num,
                                       (d.*m).den, flags);
      }
    } make{p, d, flags};
    return std::visit(make, p.member);
  }

  static void assign(bool& x, const GValue* v, bool) { x = g_value_get_boolean(v); }
  static void assign(int& x, const GValue* v, bool is_enum) {
    x = is_enum ? g_value_get_enum(v) : g_value_get_int(v);
  }
  static void assign(guint& x, const GValue* v, bool) { x = g_value_get_uint(v); }
  static void assign(gint64& x, const GValue* v, bool) { x = g_value_get_int64(v); }
  static void assign(double& x, const GValue* v, bool) { x = g_value_get_double(v); }
  static void assign(std::string& x, const GValue* v, bool) {
    x = g_value_get_string(v) ? g_value_get_string(v) : "";
  }
  static void assign(std::vector<std::string>& x, const GValue* v, bool) {
    x.clear();
    for (guint i = 0; i < gst_value_array_get_size(v); ++i)
      if (const gchar* s = g_value_get_string(gst_value_array_get_value(v, i))) x.push_back(s);
  }
  static void assign(omni::Rational& x, const GValue* v, bool) {
    x = {gst_value_get_fraction_numerator(v), gst_value_get_fraction_denominator(v)};
  }

  static void fetch(bool x, GValue* v, bool) { g_value_set_boolean(v, x); }
  static void fetch(int x, GValue* v, bool is_enum) {
    is_enum ? g_value_set_enum(v, x) : g_value_set_int(v, x);
  }
  static void fetch(guint x, GValue* v, bool) { g_value_set_uint(v, x); }
  static void fetch(gint64 x, GValue* v, bool) { g_value_set_int64(v, x); }
  static void fetch(double x, GValue* v, bool) { g_value_set_double(v, x); }
  static void fetch(const std::string& x, GValue* v, bool) {
    g_value_set_string(v, x.empty() ? nullptr : x.c_str());
  }
  static void fetch(const std::vector<std::string>& x, GValue* v, bool) {
    for (const std::string& s : x) {
      GValue one = G_VALUE_INIT;
      g_value_init(&one, G_TYPE_STRING);
      g_value_set_string(&one, s.c_str());
      gst_value_array_append_and_take_value(v, &one);
    }
  }
  static void fetch(omni::Rational x, GValue* v, bool) { gst_value_set_fraction(v, x.num, x.den); }

  std::vector<Row> table_;
};

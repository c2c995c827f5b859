// Whether the answer to a standing question says something new (Trigger::event): it is compared
// with the one before by what it means. A plain class without lock or clock.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "io/json.h"
#include "omni/session.h"
#include "omni/spatial.h"

namespace omni {

// Objects in the coordinates of the family, of which `extent` is the largest.
struct Sighting {
  std::vector<SpatialObject> objects;
  double extent = 1000;
};

// What an answer means: nothing new, a value, objects, or a text in its normal form.
using Meaning = std::variant<std::monostate, Json, Sighting, std::string>;

// schema: that the answer is bound to, empty for none; one that was cut is a text. nothing_new: the
// text that says so, empty where there is none.
Meaning meaning_of(const std::string& text, const std::string& schema,
                   const std::string& nothing_new);

// Values are equal as JSON has it: numbers as numbers, members in any order. Objects are the same
// where each has one of its label in much the same place: half of both boxes together, or a
// twentieth of the extent away.
bool is_same(const Meaning& a, const Meaning& b);

// Of answers to one standing question.
class Watch {
 public:
  // Whether it is another one than the last that was news. Of the first answer to a question there
  // is none: later ones are compared with it.
  bool is_news(const std::string& question, Meaning meaning);

  struct Last {
    std::string question;
    std::optional<Meaning> meaning;
  };
  const Last& last() const { return last_; }  // so that another goes on as this one does
  void go_on(Last last) { last_ = std::move(last); }

 private:
  Last last_;
};

// Of a session: for those who read and for those who want objects.
struct Watches {
  Watch text, objects;
};

}  // namespace omni

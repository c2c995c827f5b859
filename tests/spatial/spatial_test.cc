// Objects out of text: what families write, what models get wrong, where it lies on the source
// frame, and who is who from answer to answer.
#include "omni/spatial.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "video/smart_resize.h"

namespace omni {
namespace {

std::vector<SpatialObject> parse(const std::string& text,
                                 Coordinates c = Coordinates::resized_pixels,
                                 SpatialParser::Counts* counts = nullptr, size_t piece = 1) {
  SpatialParser parser(c);
  std::vector<SpatialObject> all;
  for (size_t i = 0; i < text.size(); i += piece)
    for (SpatialObject& o : parser.push(std::string_view(text).substr(i, piece)))
      all.push_back(std::move(o));
  const auto n = parser.finish();
  if (counts) *counts = n;
  return all;
}

std::string box_text(const SpatialObject& o) {
  std::string s = o.label;
  s += ':';
  if (o.box)
    s += std::to_string(std::lround(o.box->x1)) + "," + std::to_string(std::lround(o.box->y1)) +
         "," + std::to_string(std::lround(o.box->x2)) + "," +
         std::to_string(std::lround(o.box->y2));
  if (o.point)
    s += std::to_string(std::lround(o.point->x)) + "," + std::to_string(std::lround(o.point->y));
  return s;
}

TEST(SpatialParser, WhatModelsReallyWrite) {
  struct {
    const char *text, *objects;
    int repaired, malformed;
  } cases[] = {
      {R"([{"bbox_2d":[1,2,30,40],"label":"cat"}])", "cat:1,2,30,40", 0, 0},
      {"```json\n[\n\t{\"bbox_2d\": [1, 2, 30, 40], \"label\": \"cat\"},\n\t{\"bbox_2d\": [5, 6, "
       "7, 8], \"label\": \"dog\"}\n]\n```",
       "cat:1,2,30,40 dog:5,6,7,8", 0, 0},
      {"```json\n```json\n{\"label\": \"a cat\", \"bbox_2d\": [1.4, 2.0, 30.2, 40]}```",
       "a cat:1,2,30,40", 0, 0},
      {"Here it is: {\"point_2d\": [17, 23], \"label\": \"tip\"} as asked.", "tip:17,23", 0, 0},
      {R"([{"bbox_2d":[30,40,1,2],"label":"cat"}])", "cat:1,2,30,40", 1, 0},
      {R"([{"bbox_2d":[1,2,30,40,],"label":"cat",},])", "cat:1,2,30,40", 1, 0},
      {R"([{"bbox_2d":["1","2","30","40"],"label":"cat"}])", "cat:1,2,30,40", 1, 0},
      {R"([{'bbox_2d':[1,2,30,40],'label':'cat'}])", "cat:1,2,30,40", 1, 0},
      {R"([{"bbox_2d":[1,2,30,40],"label":"cat"},{"bbox_2d":[5,6,7)", "cat:1,2,30,40", 0, 1},
      {R"({"objects":[{"bbox_2d":[1,2,30,40],"label":"}{\"x"}]})", "}{\"x:1,2,30,40", 0, 0},
      {R"([{"bbox_2d":[1,2,30],"label":"three"},{"bbox_2d":[1,2,3,4],"label":"four"}])",
       "four:1,2,3,4", 0, 1},
      {R"([{"bbox_2d":[[1,2],[3,4]],"label":"nested"}])", "nested:1,2,3,4", 0, 0},
      {R"([{"bbox_2d":[-3,2,5000,40],"label":""}])", ":-3,2,5000,40", 0, 0},
      {R"([{"bbox_2d":[1e400,2,NaN,4],"label":"inf"}])", "", 0, 1},
      {"{\"label\":\"lost quote,\n\"bbox_2d\":[1,2,3,4]} "
       "{\"bbox_2d\":[1,2,3,4],\"label\":\"next\"}",
       "next:1,2,3,4", 0, -1},
      {"No objects.", "", 0, 0},
      {"[]", "", 0, 0},
  };
  for (const auto& c : cases)
    for (size_t piece : {1, 3, 1000}) {
      SpatialParser::Counts n;
      std::string all;
      for (const SpatialObject& o : parse(c.text, Coordinates::resized_pixels, &n, piece))
        all += (all.empty() ? "" : " ") + box_text(o);
      if (c.malformed < 0) {  // what is lost may differ, what follows may not
        EXPECT_TRUE(all.ends_with(c.objects)) << c.text << all;
        continue;
      }
      EXPECT_EQ(all, c.objects) << c.text;
      EXPECT_EQ(n.repaired, c.repaired) << c.text;
      EXPECT_EQ(n.malformed, c.malformed) << c.text;
    }
}

TEST(SpatialParser, OtherFamilies) {
  const auto gemini = parse(
      R"([{"box_2d": [20, 10, 400, 300], "label": "cat"}, {"point": [7, 9], "label": "tip"}])",
      Coordinates::thousandths_y_first);
  ASSERT_EQ(gemini.size(), 2u);
  EXPECT_EQ(box_text(gemini[0]), "cat:10,20,300,400");
  EXPECT_EQ(box_text(gemini[1]), "tip:9,7");
  const std::string markup =
      "A <|object_ref_start|>red cat<|object_ref_end|><|box_start|>(10,20),(300,400)<|box_end|> "
      "and <|box_start|>(5,6)<|box_end|> <|box_start|>(1,2),(";
  SpatialParser::Counts n;
  const auto qwen2 = parse(markup, Coordinates::thousandths_markup, &n);
  ASSERT_EQ(qwen2.size(), 2u);
  EXPECT_EQ(box_text(qwen2[0]), "red cat:10,20,300,400");
  EXPECT_EQ(box_text(qwen2[1]), ":5,6");
  EXPECT_EQ(n.malformed, 1);
  EXPECT_TRUE(parse(R"([{"box_2d": [20, 10, 400, 300], "label": "cat"}])").empty())
      << "never guessed from the text";
}

TEST(SpatialParser, AnObjectLeavesWithItsBrace) {
  SpatialParser p(Coordinates::resized_pixels);
  EXPECT_TRUE(p.push(R"([{"bbox_2d":[1,2,3,4],"label":"a")").empty());
  EXPECT_EQ(p.push("}").size(), 1u);
}

TEST(SpatialParser, ProbabilitiesOfItsTokens) {
  SpatialParser p(Coordinates::resized_pixels);
  for (const auto& [bytes, probability] :
       std::initializer_list<std::pair<const char*, double>>{{"[{\"bbox_2d\":[", 0.9},
                                                             {"1", 0.5},
                                                             {",", 0.5},
                                                             {"2", 0.5},
                                                             {",", 0.5},
                                                             {"3", 0.5},
                                                             {",", 0.5},
                                                             {"4", 0.5},
                                                             {"],\"label\":\"", 0.1},
                                                             {"ca", 0.4},
                                                             {"t", 0.9}})
    EXPECT_TRUE(p.push(bytes, probability).empty());
  const auto o = p.push("\"}", 0.01);
  ASSERT_EQ(o.size(), 1u);
  EXPECT_NEAR(o[0].place_probability, 0.5, 1e-6);
  EXPECT_NEAR(o[0].label_probability, std::sqrt(0.4 * 0.9), 1e-6);
}

// Random boxes: text in the family's own coordinates, parsed, mapped back.
TEST(SpatialGeometry, RoundTripOfRandomBoxes) {
  std::mt19937 random(5);
  for (int detail = 0; detail < 2; ++detail)
    for (int i = 0; i < 2000; ++i) {
      const double aspect = std::exp2(std::uniform_real_distribution<double>(-2, 2)(random));
      const int height = std::uniform_int_distribution<int>(120, 1100)(random),
                width = std::clamp(int(height * aspect), 64, 4000);
      const PictureSize seen = smart_resize(height, width, 28, 3136, detail ? 768 * 784 : 39200);
      const PictureGeometry g{width, height, seen.width, seen.height};
      std::uniform_real_distribution<double> x(0, width), y(0, height);
      SpatialObject o;
      const double a = x(random), b = x(random), c = y(random), d = y(random);
      o.box = Box{std::min(a, b), std::min(c, d), std::max(a, b), std::max(c, d)};
      o.label = "thing";
      for (const Coordinates k :
           {Coordinates::resized_pixels, Coordinates::thousandths, Coordinates::thousandths_y_first,
            Coordinates::thousandths_markup}) {
        auto back = parse(write_objects({o}, k, g), k, nullptr, 7);
        ASSERT_EQ(back.size(), 1u);
        to_source(back, k, g);
        // One pixel of the resized picture, or one thousandth.
        const double ux = k == Coordinates::resized_pixels ? double(width) / seen.width
                                                           : width / 1000.0,
                     uy = k == Coordinates::resized_pixels ? double(height) / seen.height
                                                           : height / 1000.0;
        EXPECT_NEAR(back[0].box->x1, o.box->x1, ux);
        EXPECT_NEAR(back[0].box->x2, o.box->x2, ux);
        EXPECT_NEAR(back[0].box->y1, o.box->y1, uy);
        EXPECT_NEAR(back[0].box->y2, o.box->y2, uy);
        EXPECT_TRUE(back[0].in_frame);
      }
    }
}

TEST(SpatialGeometry, ChecksDropNothing) {
  auto o = parse(
      R"([{"bbox_2d":[0,0,50,50],"label":"a"},{"bbox_2d":[0,0,50,49],"label":"a"},{"bbox_2d":[90,90,300,300],"label":"out"},{"bbox_2d":[5,5,5,5],"label":"dot"}])");
  to_source(o, Coordinates::resized_pixels, {200, 200, 100, 100});
  ASSERT_EQ(o.size(), 4u);
  EXPECT_FALSE(o[0].duplicate);
  EXPECT_TRUE(o[1].duplicate);
  EXPECT_FALSE(o[2].in_frame);
  EXPECT_EQ(box_text(o[2]), "out:180,180,200,200");
  EXPECT_FALSE(o[3].has_area);
}

TEST(Tracker, KeepsIdsAndLearnsSpeed) {
  Tracker t;
  int64_t moving = 0, still = 0;
  for (int i = 0; i < 5; ++i) {
    std::vector<SpatialObject> o(2);
    o[i % 2].label = o[1 - i % 2].label = "cat";  // same label, order changes
    o[i % 2].box = Box{10.0 + 30 * i, 10, 60.0 + 30 * i, 60};
    o[1 - i % 2].box = Box{10, 300, 60, 350};
    t.update(o, i * kSecond);
    if (i == 0) moving = o[0].track, still = o[1].track;
    EXPECT_EQ(o[i % 2].track, moving) << i;
    EXPECT_EQ(o[1 - i % 2].track, still) << i;
    if (i) {
      EXPECT_TRUE(*o[0].agrees);
      EXPECT_NEAR(o[i % 2].velocity->x, 30, 1e-9);
      EXPECT_NEAR(o[1 - i % 2].velocity->x, 0, 1e-9);
    } else {
      EXPECT_FALSE(o[0].agrees.has_value());
    }
  }
  std::vector<SpatialObject> other(1);
  other[0].label = "dog";
  other[0].box = Box{10, 300, 60, 350};
  t.update(other, 5 * kSecond);
  EXPECT_EQ(other[0].track, 3);
  EXPECT_FALSE(*other[0].agrees);
}

TEST(SpatialResult, JsonAndBack) {
  SpatialResult r;
  r.question = "Where is \"it\"?\n";
  r.checkpoint = "0123";
  r.start = 2 * kSecond, r.duration = kSecond, r.frame_time = 2 * kSecond + 500;
  r.geometry = {1920, 1080, 252, 140};
  SpatialObject o;
  o.label = "k\xC3\xA4se \xFF";
  o.box = Box{1.25, 2, 300.5, 400};
  o.velocity = Point{-3, 4};
  o.track = 7;
  o.agrees = true;
  r.objects = {o};
  const std::string text = to_json(r);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const SpatialResult back = spatial_result_from_json(text);
  EXPECT_EQ(to_json(back), text);
  EXPECT_EQ(back.objects[0].label, "k\xC3\xA4se \xEF\xBF\xBD");
  EXPECT_EQ(back.objects[0].track, 7);
  EXPECT_NEAR(back.objects[0].box->x2, 300.5, 1e-9);
  for (const char* bad :
       {"", "{}", "[1]", R"({"version":2})", R"({"version":1,"frame":{},"objects":[{}]})",
        R"({"version":1,"frame":{},"objects":[{"box":[1,2,3]}]})"})
    EXPECT_THROW(spatial_result_from_json(bad), Error) << bad;
}

// Damaged outputs: never a crash, never unbounded, and what stood before the damage is found.
TEST(SpatialParser, TenThousandFuzzedOutputs) {
  std::mt19937 random(11);
  const auto pick = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  const std::string junk = "{}[]\"'\\,:0123456789.eE-+ \n\tbbox_2dpoint<|>\xC3\xA4\xFF";
  for (int i = 0; i < 10000; ++i) {
    const auto c = Coordinates(i % 4);
    const PictureGeometry g{640, 360, 252, 140};
    std::vector<SpatialObject> objects(1 + pick(6));
    for (SpatialObject& o : objects) {
      o.label = "thing";
      o.box = Box{double(pick(300)), double(pick(150)), 320 + double(pick(300)),
                  180 + double(pick(150))};
    }
    std::string text = write_objects(objects, c, g);
    const size_t damage = pick(text.size());
    const std::string whole = text.substr(0, damage);
    switch (pick(4)) {
      case 0:
        text.resize(damage);
        break;
      case 1:
        for (size_t k = 0, n = 1 + pick(200); k < n; ++k)
          text.insert(damage, 1, junk[pick(junk.size())]);
        break;
      case 2:
        text.erase(damage, 1 + pick(20));
        break;
      case 3:
        text.insert(damage, std::string(pick(3) * 5000, junk[pick(junk.size())]));
        break;
    }
    const std::string close = c == Coordinates::thousandths_markup ? "<|box_end|>" : "}";
    size_t before = 0;
    for (size_t at = 0; (at = whole.find(close, at)) != std::string::npos; at += close.size())
      ++before;
    auto found = parse(text, c, nullptr, 1 + pick(9));
    ASSERT_GE(found.size(), before) << text;
    for (size_t k = 0; k < before; ++k) ASSERT_EQ(found[k].label, "thing");
    to_source(found, c, g);
    for (const SpatialObject& o : found) {
      if (!o.box) continue;
      ASSERT_TRUE(o.box->x1 >= 0 && o.box->x2 <= 640 && o.box->y1 >= 0 && o.box->y2 <= 360 &&
                  o.box->x1 <= o.box->x2 && o.box->y1 <= o.box->y2);
      ASSERT_LE(o.label.size(), 256u);
    }
  }
}

}  // namespace
}  // namespace omni

#include <cstdio>

#include "captions/caption_text.h"
#include "omni/captions.h"

namespace omni {

namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (const int32_t c : code_points(text)) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\n':
        out += "<tt:br/>";
        break;
      default:
        out += to_utf8({c});
    }
  return out;
}

std::string clock_time(Nanoseconds t) {
  const int64_t ms = (t + kSecond / 2000) / (kSecond / 1000);
  char text[48];
  std::snprintf(text, sizeof text, "%02lld:%02lld:%02lld.%03lld",
                static_cast<long long>(ms / 3600000), static_cast<long long>(ms / 60000 % 60),
                static_cast<long long>(ms / 1000 % 60), static_cast<long long>(ms % 1000));
  return text;
}

}  // namespace

std::string ebu_tt_d_head(const std::string& language) {
  return R"(<?xml version="1.0" encoding="UTF-8"?>
<tt:tt xmlns:tt="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ebuttm="urn:ebu:tt:metadata" ttp:timeBase="media" ttp:cellResolution="32 15" xml:lang=")" +
         escaped(language) + R"(">
  <tt:head>
    <tt:metadata>
      <ebuttm:documentMetadata>
        <ebuttm:conformsToStandard>urn:ebu:tt:distribution:2018-04</ebuttm:conformsToStandard>
      </ebuttm:documentMetadata>
    </tt:metadata>
    <tt:styling>
      <tt:style xml:id="paragraph" tts:fontFamily="proportionalSansSerif" tts:fontSize="100%" tts:lineHeight="125%" tts:textAlign="center"/>
      <tt:style xml:id="text" tts:color="#ffffff" tts:backgroundColor="#000000c0"/>
    </tt:styling>
    <tt:layout>
      <tt:region xml:id="bottom" tts:origin="10% 10%" tts:extent="80% 80%" tts:displayAlign="after"/>
    </tt:layout>
  </tt:head>
  <tt:body>
    <tt:div>
)";
}

std::string ebu_tt_d_paragraph(const Caption& c, int64_t number) {
  return "      <tt:p xml:id=\"c" + std::to_string(number) +
         "\" region=\"bottom\" style=\"paragraph\" begin=\"" + clock_time(c.start) + "\" end=\"" +
         clock_time(c.start + c.duration) + "\"><tt:span style=\"text\">" + escaped(c.text) +
         "</tt:span></tt:p>\n";
}

std::string ebu_tt_d_tail() {
  return R"(    </tt:div>
  </tt:body>
</tt:tt>
)";
}

}  // namespace omni

#include "model/generation/chat/template.h"

#include <fstream>

#include "gtest/gtest.h"
#include "model/generation/chat/expression.h"

namespace lt2::model {
namespace {

const std::vector<ChatMessage>& Talk() {
  static const auto* talk =
      new std::vector<ChatMessage>{{"system", "Be brief."},
                                   {"user", " Hi "},
                                   {"assistant", "Hello."},
                                   {"user", "Bye"}};
  return *talk;
}

std::string Render(absl::string_view text,
                   const std::vector<ChatMessage>& messages = Talk(),
                   bool reply = true) {
  auto chat = ChatTemplate::Parse(text, "test");
  if (!chat.ok()) return std::string(chat.status().message());
  chat->SetTokens("<s>", "</s>");
  const auto result = chat->Render(messages, reply);
  return result.ok() ? *result : std::string(result.status().message());
}

std::string Expression(absl::string_view text) {
  const chat::Scopes scopes = {
      {{"x", "outer"}, {"n", 3}, {"o", {{"a", "b"}}}, {"nil", nullptr}},
      {{"x", "inner"}, {"list", {1, 2, 3}}}};
  const auto value = chat::Evaluate(text, scopes);
  return value.ok() ? chat::ToText(*value)
                    : std::string(value.status().message());
}

TEST(Expression, Values) {
  EXPECT_EQ(Expression("'a\\n' + \"b'\" ~ n"), "a\nb'3");
  EXPECT_EQ(Expression("x"), "inner");
  EXPECT_EQ(Expression("unknown"), "");
  EXPECT_EQ(Expression("o.a + o['a']"), "bb");
  EXPECT_EQ(Expression("list[0] + list[-1] * 2 - 1"), "6");
  EXPECT_EQ(Expression("list[1:]"), "[2,3]");
  EXPECT_EQ(Expression("list[::-1]"), "[3,2,1]");
  EXPECT_EQ(Expression("list | length - 1"), "2");
  EXPECT_EQ(Expression("' a ' | trim ~ '.'"), "a.");
  EXPECT_EQ(Expression("'a,b'.split(',')[-1]"), "b");
  EXPECT_EQ(Expression("7 % 2 == 1"), "True");
  EXPECT_EQ(Expression("missing | default('d')"), "d");
}

TEST(Expression, Logic) {
  EXPECT_EQ(Expression("'yes' if n > 2 else 'no'"), "yes");
  EXPECT_EQ(Expression("'yes' if n > 3 else 'no'"), "no");
  EXPECT_EQ(Expression("('a' if false) ~ 'b'"), "b");
  EXPECT_EQ(Expression("nil is none and x is string and not nil"), "True");
  EXPECT_EQ(Expression("missing is defined and missing.key.more"), "False");
  EXPECT_EQ(Expression("missing is not none"), "True");
  EXPECT_EQ(Expression("missing.key if missing is defined else 'none'"),
            "none");
  EXPECT_EQ(Expression("'nn' in x and 9 not in list"), "True");
  EXPECT_EQ(Expression("1 < 2 or raise_exception('never')"), "True");
}

TEST(Expression, WhatItDoesNotKnowIsAnErrorThatNamesIt) {
  EXPECT_EQ(Expression("x | tojson"),
            "unknown filter 'tojson' in 'x | tojson'");
  EXPECT_EQ(Expression("strftime_now('%d')"),
            "unknown function 'strftime_now' in 'strftime_now('%d')'");
  EXPECT_EQ(Expression("x.title()"), "unknown method 'title' in 'x.title()'");
  EXPECT_EQ(Expression("x is divisibleby"),
            "unknown test 'is divisibleby' in 'x is divisibleby'");
  EXPECT_EQ(Expression("{'a': 1}"), "unknown construct '{' in '{'a': 1}'");
  EXPECT_EQ(Expression("missing.key"),
            "undefined has no 'key' in 'missing.key'");
  EXPECT_EQ(Expression("x n"), "unexpected 'n' in 'x n'");
  EXPECT_EQ(Expression("'open"), "a text without its closing quote in ''open'");
  EXPECT_EQ(Expression(std::string(5000, '(')).find("an expression nested"),
            0u);
  EXPECT_EQ(Expression("raise_exception('bad role')"),
            "the chat template refuses this conversation: bad role");
}

TEST(ChatTemplate, ChatMl) {
  const std::string expected =
      "<|im_start|>system\nBe brief.<|im_end|>\n"
      "<|im_start|>user\n Hi <|im_end|>\n"
      "<|im_start|>assistant\nHello.<|im_end|>\n"
      "<|im_start|>user\nBye<|im_end|>\n";
  EXPECT_EQ(*ChatTemplate::ChatMl().Render(Talk(), false), expected);
  EXPECT_EQ(*ChatTemplate::ChatMl().Render(Talk(), true),
            expected + "<|im_start|>assistant\n");
}

TEST(ChatTemplate, ADefaultSystemMessageAndHeadersInTheStyleOfLlama) {
  EXPECT_EQ(Render("{% for m in messages %}{% if loop.first and "
                   "messages[0]['role'] != 'system' %}S:none\n{% endif %}"
                   "{{ m.role ~ ':' }}{% endfor %}",
                   {{"user", "x"}}),
            "S:none\nuser:");
  EXPECT_EQ(
      Render("{% set loop_messages = messages %}{% for message in "
             "loop_messages %}{% set content = '[' + message['role'] + "
             "']\n\n'+ message['content'] | trim + '<eot>' %}{% if "
             "loop.index0 == 0 %}{% set content = bos_token + content %}{% "
             "endif %}{{ content }}{% endfor %}{% if add_generation_prompt "
             "%}{{ '[assistant]\n\n' }}{% endif %}"),
      "<s>[system]\n\nBe brief.<eot>[user]\n\nHi<eot>[assistant]\n\nHello.<eot>"
      "[user]\n\nBye<eot>[assistant]\n\n");
}

TEST(ChatTemplate, StatementsScopesAndNamespaces) {
  EXPECT_EQ(Render("{% set ns = namespace(last='-') %}{% for m in messages %}"
                   "{% if m.role == 'user' %}{% set ns.last = m.content|trim %}"
                   "{% elif m.role == 'system' %}{% else %}{{ loop.index }}"
                   "{% endif %}{% endfor %}{{ ns.last }}{{ m }}"),
            "3Bye");
  EXPECT_EQ(Render("{% set x = 1 %}{% for m in messages %}{% set x = 2 %}"
                   "{% endfor %}{{ x }}"),
            "1");
  EXPECT_EQ(Render("{% if tools %}{{ tools | tojson }}{% endif %}a{# b #}c"),
            "ac");
}

TEST(ChatTemplate, WhiteSpace) {
  // A newline after a statement and blanks before it on its line go.
  EXPECT_EQ(Render("a\n  {% if true %}\n  b\n  {% endif %}\nc"), "a\n  b\nc");
  EXPECT_EQ(Render("a \n {%- if true -%} \n b \n {%- endif %} c"), "ab c");
  EXPECT_EQ(Render("a {{- ' b ' -}} c"), "a b c");
  EXPECT_EQ(Render("a {{ 'b' }}\nc"), "a b\nc");
  EXPECT_EQ(Render("{{ '%}{{ }}' }}"), "%}{{ }}");
}

TEST(ChatTemplate, UnknownStatementsAndBrokenBlocksAreErrors) {
  EXPECT_EQ(Render("{% macro f() %}{% endmacro %}"),
            "test: unknown statement 'macro f()'");
  EXPECT_EQ(Render("{% for a, b in messages %}{% endfor %}"),
            "test: unknown statement 'for a, b in messages'");
  EXPECT_EQ(Render("{% if true %}a"),
            "test: 'if true' is followed by '', expected 'endif'");
  EXPECT_EQ(Render("a{% endif %}"), "test: 'endif' without a beginning");
  EXPECT_EQ(Render("{{ a"), "test: '{{ a' without '}}'");
  EXPECT_EQ(Render("{% set a.b = 1 %}"),
            "test: 'a' in 'set a.b' is no namespace");
  EXPECT_EQ(Render("{% for m in 3 %}{% endfor %}"),
            "test: 'for m in 3': not a list but of type number");
}

TEST(ChatTemplate, EndlessOnesRunOut) {
  std::string nested = "x";
  for (int i = 0; i < 12; ++i) {
    nested = "{% for m in messages %}" + nested + "{% endfor %}";
  }
  EXPECT_EQ(Render(nested),
            "test: the template takes too many steps or writes too much");
  auto repeated = [](const std::string& set) {
    std::string text = "{% set x = 'aaaaaaaa' %}{% set ns = namespace(a=1) %}";
    for (int i = 0; i < 70; ++i) text += "{% set " + set + " %}";
    return text;
  };
  EXPECT_EQ(Render(repeated("x = x + x")),
            "test: the value of 'x' is too large");
  EXPECT_EQ(Render(repeated("ns.a = [ns, ns]")),
            "test: the value of 'ns' is too large");
  EXPECT_EQ(Render(repeated("ns.a = [ns.a]")),
            "test: the value of 'ns' is too large");
  std::string long_list = "x";
  for (int i = 0; i < 70; ++i) long_list += " + x";
  EXPECT_EQ(Render("{% set x = 'a' %}" + std::string() +
                   "{% for a in [1,2,3,4,5,6] %}{% set x = " + long_list +
                   " %}{% endfor %}done"),
            "done");
}

TEST(ChatTemplate, IsReadFromTheModelsFolder) {
  const std::string folder = ::testing::TempDir();
  auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder + "/" + name) << text;
  };
  EXPECT_EQ(ChatTemplate::FromFolder(folder + "/none").status().code(),
            absl::StatusCode::kNotFound);
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<b>"}, "eos_token": "<e>",
            "chat_template": "{{ bos_token }}{{ messages|length }}"})");
  auto chat = ChatTemplate::FromFolder(folder);
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(*chat->Render(Talk(), true), "<b>4");
  EXPECT_EQ(chat->eos_token(), "<e>");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "t"},
                              {"name": "default", "template": "d"}]})");
  EXPECT_EQ(*ChatTemplate::FromFolder(folder)->Render(Talk(), true), "d");
  write("chat_template.jinja", "j");
  EXPECT_EQ(*ChatTemplate::FromFolder(folder)->Render(Talk(), true), "j");
}

}  // namespace
}  // namespace lt2::model

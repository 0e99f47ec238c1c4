/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of a configuration file. The rules are libconfig 1.5's, except that what it reads
 * wrongly is refused here: numbers out of range, leading zeros, zero bytes and unknown escapes in
 * strings, and strings that run over the end of a line, which is a forgotten quote.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

void lexer_error(struct lexer *lexer, struct position position, const char *format, ...)
{
	char message[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (findings_add(lexer->findings, false, position, "%s", message) != 0)
		lexer->status = -ENOMEM;
}

void lexer_blank(struct lexer *lexer, uint32_t start, uint32_t end)
{
	for (uint32_t i = start; i < end; i++) {
		if (lexer->copy[i] != '\n')
			lexer->copy[i] = ' ';
	}
}

void lexer_replace(struct lexer *lexer, uint32_t start, uint32_t end, const char *value)
{
	lexer_blank(lexer, start, end);
	memcpy(lexer->copy + start, value, strlen(value));
}

void lexer_stop(struct lexer *lexer)
{
	lexer->offset = lexer->length;
	lexer->is_broken = true;
	lexer->token = (struct token){ .kind = TOKEN_END,
				       .start = lexer->length,
				       .position = lexer->position };
}

bool lexer_at(const struct lexer *lexer, char symbol)
{
	return lexer->token.kind == TOKEN_PUNCTUATION && lexer->token.symbol == symbol;
}

const char *token_describe(const struct token *token)
{
	static const char *const symbols[] = { "\"=\"", "\":\"", "\";\"", "\",\"", "\"(\"",
					       "\")\"", "\"[\"", "\"]\"", "\"{\"", "\"}\"" };

	switch (token->kind) {
	case TOKEN_END:
		return "the end of the file";
	case TOKEN_NAME:
		return "a name";
	case TOKEN_STRING:
		return "a string";
	case TOKEN_INTEGER:
	case TOKEN_FLOAT:
		return "a number";
	case TOKEN_BOOLEAN:
		return "a boolean";
	case TOKEN_PUNCTUATION:
		break;
	}
	return symbols[strchr("=:;,()[]{}", token->symbol) - "=:;,()[]{}"];
}

/* A column is a character: the continuation bytes of UTF-8 do not count. */
static void step(struct lexer *lexer)
{
	unsigned char byte = (unsigned char)lexer->text[lexer->offset++];

	if (byte == '\n') {
		lexer->position.line++;
		lexer->position.column = 1;
	} else if (lexer->offset == lexer->length ||
		   ((unsigned char)lexer->text[lexer->offset] & 0xc0) != 0x80) {
		lexer->position.column++;
	}
}

static void step_to(struct lexer *lexer, uint32_t offset)
{
	while (lexer->offset < offset)
		step(lexer);
}

static char peek(const struct lexer *lexer, uint32_t ahead)
{
	return lexer->text[lexer->offset + ahead];
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void skip_comment(struct lexer *lexer)
{
	struct position position = lexer->position;
	uint32_t start = lexer->offset;

	if (peek(lexer, 0) == '/' && peek(lexer, 1) == '*') {
		const char *end = strstr(lexer->text + start + 2, "*/");

		if (end) {
			step_to(lexer, (uint32_t)(end - lexer->text) + 2);
		} else {
			lexer_error(lexer, position, "this comment is never closed");
			lexer_stop(lexer);
		}
	} else {
		while (lexer->offset < lexer->length && peek(lexer, 0) != '\n')
			step(lexer);
	}
	/* libconfig 1.5 takes a comment at the very end of a file for an error. */
	lexer_blank(lexer, start, lexer->offset);
}

static void skip_space(struct lexer *lexer)
{
	while (lexer->offset < lexer->length) {
		char c = peek(lexer, 0);

		if (c == '#' || (c == '/' && (peek(lexer, 1) == '/' || peek(lexer, 1) == '*')))
			skip_comment(lexer);
		else if (strchr(" \t\n\r\f", c))
			step(lexer);
		else
			return;
	}
}

/* Whether a backslash and what follows it is one of libconfig's escapes; *length is its length. */
static bool escape_is_known(const char *escape, uint32_t *length)
{
	*length = 2;
	if (escape[1] != '\0' && strchr("abnrtvf\\\"", escape[1]))
		return true;
	*length = 4;
	return (escape[1] == 'x' || escape[1] == 'X') && escape[2] != '\0' &&
	       strchr("0123456789abcdefABCDEF", escape[2]) && escape[3] != '\0' &&
	       strchr("0123456789abcdefABCDEF", escape[3]);
}

static void read_escape(struct lexer *lexer, struct token *token)
{
	const char *escape = lexer->text + lexer->offset;
	uint32_t length;

	if (!escape_is_known(escape, &length)) {
		lexer_error(lexer, lexer->position,
			    "unknown escape in a string: a backslash is written \\\\");
		token->is_bad = true;
		length = escape[1] == '\0' || escape[1] == '\n' ? 1 : 2;
	} else if (length == 4 && escape[2] == '0' && escape[3] == '0') {
		lexer_error(lexer, lexer->position, "a string cannot hold a zero byte");
		token->is_bad = true;
	}
	step_to(lexer, lexer->offset + length);
}

static void read_string(struct lexer *lexer, struct token *token)
{
	token->kind = TOKEN_STRING;
	step(lexer);
	while (lexer->offset < lexer->length && peek(lexer, 0) != '"' && peek(lexer, 0) != '\n') {
		if (peek(lexer, 0) == '\\')
			read_escape(lexer, token);
		else
			step(lexer);
	}
	if (peek(lexer, 0) == '"') {
		step(lexer);
	} else {
		lexer_error(lexer, token->position, "this string is not closed on its line");
		lexer->is_broken = true;
		token->is_bad = true;
	}
	if (token->is_bad && lexer->offset - token->start >= 2)
		lexer_replace(lexer, token->start, lexer->offset, "\"\"");
}

/* Digits, a point and an exponent, as in -1.5e+3. */
static bool is_float(const char *text, const char *end)
{
	bool has_digits = false, has_mark = false;

	if (*text == '+' || *text == '-')
		text++;
	for (; text < end && (is_digit(*text) || *text == '.'); text++) {
		has_digits |= *text != '.';
		if (*text == '.' && has_mark)
			return false;
		has_mark |= *text == '.';
	}
	if (text < end && (*text == 'e' || *text == 'E')) {
		has_mark = true;
		text++;
		if (text < end && (*text == '+' || *text == '-'))
			text++;
		if (text == end)
			return false;
		while (text < end && is_digit(*text))
			text++;
	}
	return text == end && has_digits && has_mark;
}

/* Refuses an integer that libconfig would cut to 32 or 64 bits, or read as decimal when a C
 * programmer means octal. */
static bool integer_is_good(struct lexer *lexer, const struct token *token, const char *digits,
			    int base, bool is_long)
{
	const char *text = lexer->text + token->start;
	int shown = token->length < 40 ? (int)token->length : 40;
	int64_t number;

	if (base == 10 && digits[0] == '0' && is_digit(digits[1])) {
		lexer_error(lexer, token->position,
			    "%.*s has a leading zero: there are no octal numbers here", shown,
			    text);
		return false;
	}
	errno = 0;
	number = strtoll(text, NULL, base);
	if (errno == ERANGE || (!is_long && number != (int32_t)number)) {
		lexer_error(lexer, token->position,
			    "%.*s is out of range: %s holds %" PRId64 " to %" PRId64, shown, text,
			    is_long ? "a 64-bit integer" : "an integer without the suffix L",
			    is_long ? INT64_MIN : INT32_MIN, is_long ? INT64_MAX : INT32_MAX);
		return false;
	}
	return true;
}

static bool is_integer(struct lexer *lexer, struct token *token)
{
	const char *text = lexer->text + token->start, *end = text + token->length;
	const char *digits = text, *rest;
	int base = 10;
	bool is_long;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		digits += 2;
	} else if (*text == '+' || *text == '-') {
		digits++;
	}
	rest = digits + strspn(digits, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");
	if (rest == digits)
		return false;
	is_long = *rest == 'L';
	rest += is_long ? 1 + (rest[1] == 'L') : 0;
	if (rest != end)
		return false;
	token->is_bad = !integer_is_good(lexer, token, digits, base, is_long);
	return true;
}

static void read_number(struct lexer *lexer, struct token *token)
{
	while (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0)) ||
	       (peek(lexer, 0) != '\0' && strchr("+-._", peek(lexer, 0))))
		step(lexer);
	token->length = lexer->offset - token->start;
	token->kind = TOKEN_INTEGER;
	if (!is_integer(lexer, token)) {
		const char *text = lexer->text + token->start;

		token->kind = TOKEN_FLOAT;
		token->is_bad = !is_float(text, text + token->length);
		if (token->is_bad)
			lexer_error(lexer, token->position,
				    "\"%.*s\" is not a number; a string needs quotes",
				    token->length < 40 ? (int)token->length : 40, text);
	}
	if (token->is_bad || token->kind == TOKEN_FLOAT)
		lexer_replace(lexer, token->start, lexer->offset, "0");
}

/* With points, which no name may hold, so that a host name without quotes is one word. */
static void read_name(struct lexer *lexer, struct token *token)
{
	const char *text = lexer->text + token->start;

	while (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0)) ||
	       (peek(lexer, 0) != '\0' && strchr("-_*.", peek(lexer, 0))))
		step(lexer);
	token->length = lexer->offset - token->start;
	token->kind = TOKEN_NAME;
	if ((token->length == 4 && strncasecmp(text, "true", 4) == 0) ||
	    (token->length == 5 && strncasecmp(text, "false", 5) == 0))
		token->kind = TOKEN_BOOLEAN;
}

/* Something that no word begins with: one finding for the whole run of such characters. */
static void skip_unexpected(struct lexer *lexer)
{
	struct position position = lexer->position;
	uint32_t start = lexer->offset;
	unsigned char byte = (unsigned char)peek(lexer, 0);

	if (strncmp(lexer->text + start, "@include", 8) == 0) {
		lexer_error(lexer, position,
			    "@include is not supported: write everything into one file");
		lexer->is_broken = true;
		while (lexer->offset < lexer->length && peek(lexer, 0) != '\n')
			step(lexer);
	} else if (byte < 0x80) {
		if (byte > 0x20 && byte < 0x7f)
			lexer_error(lexer, position, "unexpected character \"%c\"", byte);
		else
			lexer_error(lexer, position, "unexpected control character 0x%02x", byte);
		while (peek(lexer, 0) == (char)byte)
			step(lexer);
	} else {
		do
			step(lexer);
		while ((unsigned char)peek(lexer, 0) >= 0x80);
		lexer_error(
			lexer, position,
			"unexpected \"%.*s\": only ASCII is allowed outside strings and comments",
			(int)(lexer->offset - start < 40 ? lexer->offset - start : 40),
			lexer->text + start);
	}
	lexer_blank(lexer, start, lexer->offset);
}

static bool begins_number(char c)
{
	return is_digit(c) || c == '+' || c == '-' || c == '.';
}

void lexer_advance(struct lexer *lexer)
{
	struct token token = { 0 };
	char c;

	skip_space(lexer);
	while (lexer->offset < lexer->length && !strchr("\"=:;,()[]{}*", peek(lexer, 0)) &&
	       !is_letter(peek(lexer, 0)) && !begins_number(peek(lexer, 0))) {
		skip_unexpected(lexer);
		skip_space(lexer);
	}
	token.start = lexer->offset;
	token.position = lexer->position;
	c = peek(lexer, 0);
	if (lexer->offset == lexer->length || lexer->status != 0) {
		token.kind = TOKEN_END;
	} else if (c == '"') {
		read_string(lexer, &token);
	} else if (begins_number(c)) {
		read_number(lexer, &token);
	} else if (is_letter(c) || c == '*') {
		read_name(lexer, &token);
	} else {
		token.kind = TOKEN_PUNCTUATION;
		token.symbol = c;
		step(lexer);
	}
	token.length = lexer->offset - token.start;
	lexer->token = token;
}

void lexer_start(struct lexer *lexer, const char *text, uint32_t length, char *copy,
		 struct findings *findings)
{
	*lexer = (struct lexer){ .text = text,
				 .copy = copy,
				 .length = length,
				 .position = { 1, 1 },
				 .findings = findings };
	lexer_advance(lexer);
}

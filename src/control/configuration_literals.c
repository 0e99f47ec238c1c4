/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Strings and numbers. The rules are libconfig 1.5's, except that what it reads wrongly is refused
 * here: numbers out of range, leading zeros, zero bytes and unknown escapes in strings, and strings
 * that run over the end of a line, which is a forgotten quote.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

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
	lexer_step_to(lexer, lexer->offset + length);
}

void lexer_read_string(struct lexer *lexer, struct token *token)
{
	token->kind = TOKEN_STRING;
	lexer_step(lexer);
	while (lexer->offset < lexer->length && lexer_peek(lexer, 0) != '"' &&
	       lexer_peek(lexer, 0) != '\n') {
		if (lexer_peek(lexer, 0) == '\\')
			read_escape(lexer, token);
		else
			lexer_step(lexer);
	}
	if (lexer_peek(lexer, 0) == '"') {
		lexer_step(lexer);
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
	for (; text < end && (character_is_digit(*text) || *text == '.'); text++) {
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
		while (text < end && character_is_digit(*text))
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

	if (base == 10 && digits[0] == '0' && character_is_digit(digits[1])) {
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

void lexer_read_number(struct lexer *lexer, struct token *token)
{
	while (character_is_letter(lexer_peek(lexer, 0)) ||
	       character_is_digit(lexer_peek(lexer, 0)) ||
	       (lexer_peek(lexer, 0) != '\0' && strchr("+-._", lexer_peek(lexer, 0))))
		lexer_step(lexer);
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

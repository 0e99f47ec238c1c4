/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Certificates in PEM, as far as can be told without reading them: each block is base64 (RFC 4648
 * section 4) of one DER sequence of the right length, which a file that was cut off, or that was
 * taken for another, is not. Whether a certificate is good is the TLS library's to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "configuration_internal.h"

#define FILE_MAX (16 << 20)

#define BEGIN  "-----BEGIN "
#define END    "-----END "
#define DASHES "-----"

/* With data for openssl alone behind the certificate. */
#define TRUSTED "TRUSTED CERTIFICATE"

#define DER_SEQUENCE 0x30
#define DER_LONG     0x80 /* the low bits tell how many bytes the length has */

/* Reads it whole, with a zero behind. NULL with errno. */
static char *read_file(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	char *text = NULL;
	ssize_t got = 0;
	size_t length = 0;

	if (file < 0)
		return NULL;
	if (fstat(file, &status) != 0)
		goto out;
	errno = S_ISDIR(status.st_mode) ? EISDIR : S_ISREG(status.st_mode) ? EFBIG : EINVAL;
	if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX)
		goto out;
	text = malloc((size_t)status.st_size + 1);
	if (text == NULL)
		goto out;
	do {
		got = read(file, text + length, (size_t)status.st_size - length);
		length += got > 0 ? (size_t)got : 0;
	} while (got > 0 && length < (size_t)status.st_size);
	text[length] = '\0';
	if (got < 0) {
		int error = errno;

		free(text);
		text = NULL;
		errno = error;
	}
out:
	close(file);
	return text;
}

static int digit_of(char character)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = character != '\0' ? strchr(digits, character) : NULL;

	return found != NULL ? (int)(found - digits) : -1;
}

/* Decodes in place; spaces and line ends do not count. Returns how many bytes, -1 for what is no
 * base64. */
static ssize_t decode(char *text, size_t length)
{
	uint32_t bits = 0, digits = 0, padding = 0;
	uint8_t *out = (uint8_t *)text;

	for (size_t i = 0; i < length; i++) {
		int digit = digit_of(text[i]);

		if (strchr(" \t\r\n", text[i]) != NULL && text[i] != '\0')
			continue;
		if (text[i] == '=')
			padding++;
		else if (digit < 0 || padding > 0)
			return -1;
		bits = bits << 6 | (digit > 0 ? (uint32_t)digit : 0);
		if (++digits % 4 != 0)
			continue;
		*out++ = (uint8_t)(bits >> 16);
		*out++ = (uint8_t)(bits >> 8);
		*out++ = (uint8_t)bits;
	}
	if (digits % 4 != 0 || padding > 2)
		return -1;
	return out - (uint8_t *)text - (ssize_t)padding;
}

/* Whether these bytes begin with a sequence, or are one and nothing else. */
static bool is_sequence(const uint8_t *bytes, size_t size, bool is_begin)
{
	size_t length, header = 2;

	if (size < 2 || bytes[0] != DER_SEQUENCE)
		return false;
	length = bytes[1];
	if ((bytes[1] & DER_LONG) != 0) {
		size_t count = bytes[1] & ~(unsigned int)DER_LONG;

		header += count;
		if (count == 0 || count > 4 || size < header)
			return false;
		length = 0;
		for (size_t i = 0; i < count; i++)
			length = length << 8 | bytes[2 + i];
	}
	return is_begin ? length <= size - header : length == size - header;
}

/* The text behind the dashes of a line that begins so, or NULL. */
static char *find_line(char *text, const char *dashes)
{
	char *found = text;

	while ((found = strstr(found, dashes)) != NULL && found != text && found[-1] != '\n')
		found++;
	return found;
}

static bool has_label(const char *text, const char *label)
{
	size_t length = strlen(label);

	return strncmp(text, label, length) == 0 &&
	       strncmp(text + length, DASHES, sizeof(DASHES) - 1) == 0;
}

/* Looks at the block behind its first dashes. Returns where to go on; NULL when it is broken. */
static char *check_block(char *block, bool *is_certificate)
{
	bool is_trusted = has_label(block, TRUSTED);
	char *begin = strchr(block, '\n'), *end = begin != NULL ? find_line(begin, END) : NULL;
	ssize_t size;

	*is_certificate = is_trusted || has_label(block, "CERTIFICATE") ||
			  has_label(block, "X509 CERTIFICATE");
	if (!*is_certificate)
		return block;
	if (end == NULL)
		return NULL;
	size = decode(begin, (size_t)(end - begin));
	if (size < 0 || !is_sequence((const uint8_t *)begin, (size_t)size, is_trusted))
		return NULL;
	return end;
}

bool certificate_file_check(const char *path, char error[static CERTIFICATE_ERROR_SIZE])
{
	char *text = read_file(path), *block;
	uint32_t count = 0;

	if (text == NULL) {
		snprintf(error, CERTIFICATE_ERROR_SIZE, "cannot be read: %s", strerror(errno));
		return false;
	}
	error[0] = '\0';
	block = text;
	while (block != NULL && (block = find_line(block, BEGIN)) != NULL) {
		bool is_certificate;

		block = check_block(block + sizeof(BEGIN) - 1, &is_certificate);
		count += is_certificate;
		if (block == NULL)
			snprintf(error, CERTIFICATE_ERROR_SIZE,
				 "is no PEM: certificate %u in it is cut off or broken", count);
	}
	if (count == 0)
		snprintf(error, CERTIFICATE_ERROR_SIZE,
			 "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
	free(text);
	return error[0] == '\0';
}

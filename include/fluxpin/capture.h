/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capture files: frames with times, read and written through libpcap. Ethernet only, with
 * microseconds or nanoseconds.
 *
 * Thread: any one; blocks on file reads and writes. Messages go to a buffer of the caller.
 */
#ifndef FLUXPIN_CAPTURE_H
#define FLUXPIN_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#define CAPTURE_ERROR_SIZE 512

struct capture_reader;
struct capture_writer;

struct captured_frame {
	const uint8_t *data; /* good until the next read */
	uint32_t length;
	uint64_t time_ns; /* since the epoch, as the file says */
};

/* Opens a file. Returns 0, or -EINVAL with `error` filled in: not readable, no capture, no
 * Ethernet. */
int capture_reader_open(const char *path, struct capture_reader **reader,
			char error[static CAPTURE_ERROR_SIZE]);

/*
 * Reads the next frame. Returns 1 with *frame filled in, 0 at the end of the file, or -EINVAL with
 * `error` filled in when the file is cut off or damaged.
 */
int capture_reader_next(struct capture_reader *reader, struct captured_frame *frame,
			char error[static CAPTURE_ERROR_SIZE]);

/* Whether the file's times have nanoseconds. */
bool capture_reader_is_nanosecond(const struct capture_reader *reader);
void capture_reader_close(struct capture_reader *reader);

/* Creates a file. Returns 0 or -EINVAL with `error` filled in. */
int capture_writer_open(const char *path, bool nanosecond, struct capture_writer **writer,
			char error[static CAPTURE_ERROR_SIZE]);

/* Appends a frame. Errors are kept until the close. */
void capture_writer_append(struct capture_writer *writer, const uint8_t *data, uint32_t length,
			   uint64_t time_ns);

/* Returns 0, or -EIO when not everything could be written. NULL is allowed. */
int capture_writer_close(struct capture_writer *writer);

#endif

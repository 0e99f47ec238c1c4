/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "replay_internal.h"

int replay_complain(const char *file, const char *message)
{
	fprintf(stderr, "%s: %s\n", file, message);
	return -EINVAL;
}

static int open_writer(const char *path, bool nanosecond, struct capture_writer **writer)
{
	char message[CAPTURE_ERROR_SIZE];

	if (path == NULL || capture_writer_open(path, nanosecond, writer, message) == 0)
		return 0;
	return replay_complain(path, message);
}

int replay_files_open(const struct replay_options *options, struct capture_reader **input,
		      struct replay_frames *frames)
{
	char message[CAPTURE_ERROR_SIZE];
	bool nanosecond;
	int error;

	if (capture_reader_open(options->input, input, message) != 0)
		return replay_complain(options->input, message);
	nanosecond = capture_reader_is_nanosecond(*input);
	error = open_writer(options->output, nanosecond, &frames->output);
	if (error == 0)
		error = open_writer(options->slow_path, nanosecond, &frames->slow_path);
	if (error != 0 || options->drops == NULL)
		return error;
	frames->drops = fopen(options->drops, "we");
	if (frames->drops == NULL)
		return replay_complain(options->drops, strerror(errno));
	fputs("frame,reason\n", frames->drops);
	return 0;
}

int replay_files_close(const struct replay_options *options, struct capture_reader *input,
		       struct replay_frames *frames)
{
	int error = 0;

	capture_reader_close(input);
	if (capture_writer_close(frames->output) != 0)
		error = replay_complain(options->output, "could not be written");
	if (capture_writer_close(frames->slow_path) != 0)
		error = replay_complain(options->slow_path, "could not be written");
	if (frames->drops != NULL) {
		bool failed = ferror(frames->drops) != 0;

		if (fclose(frames->drops) != 0 || failed)
			error = replay_complain(options->drops, "could not be written");
	}
	return error;
}

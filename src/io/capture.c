/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fluxpin/capture.h>

#define NANOSECONDS UINT64_C(1000000000)

/* The first four bytes of a file with microseconds, in either byte order (pcap-savefile(5)). */
#define MAGIC_MICROSECONDS	   0xa1b2c3d4
#define MAGIC_MICROSECONDS_SWAPPED 0xd4c3b2a1

struct capture_reader {
	pcap_t *pcap;
	bool nanosecond;
};

struct capture_writer {
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	bool nanosecond;
};

static FILE *open_file(const char *path, bool *nanosecond, char *error)
{
	FILE *file = fopen(path, "rbe");
	uint32_t magic = 0;

	if (file == NULL) {
		snprintf(error, CAPTURE_ERROR_SIZE, "%s", strerror(errno));
		return NULL;
	}
	if (fread(&magic, sizeof(magic), 1, file) != 1) {
		snprintf(error, CAPTURE_ERROR_SIZE, "%s",
			 ferror(file) ? strerror(errno) : "empty or cut off: no capture file");
		fclose(file);
		return NULL;
	}
	*nanosecond = magic != MAGIC_MICROSECONDS && magic != MAGIC_MICROSECONDS_SWAPPED;
	rewind(file);
	return file;
}

int capture_reader_open(const char *path, struct capture_reader **result,
			char error[static CAPTURE_ERROR_SIZE])
{
	struct capture_reader *reader = calloc(1, sizeof(*reader));
	char reason[PCAP_ERRBUF_SIZE] = "";
	FILE *file;
	int link;

	if (reader == NULL) {
		snprintf(error, CAPTURE_ERROR_SIZE, "out of memory");
		return -EINVAL;
	}
	file = open_file(path, &reader->nanosecond, error);
	if (file == NULL)
		goto fail;
	reader->pcap =
		pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, reason);
	if (reader->pcap == NULL) {
		fclose(file);
		snprintf(error, CAPTURE_ERROR_SIZE, "%s", reason);
		goto fail;
	}
	link = pcap_datalink(reader->pcap);
	if (link != DLT_EN10MB) {
		const char *name = pcap_datalink_val_to_name(link);

		snprintf(error, CAPTURE_ERROR_SIZE, "link type %s (%d) is not Ethernet",
			 name != NULL ? name : "unknown", link);
		goto fail;
	}
	*result = reader;
	return 0;
fail:
	capture_reader_close(reader);
	return -EINVAL;
}

int capture_reader_next(struct capture_reader *reader, struct captured_frame *frame,
			char error[static CAPTURE_ERROR_SIZE])
{
	struct pcap_pkthdr *header;
	const u_char *data;
	int result = pcap_next_ex(reader->pcap, &header, &data);

	if (result == PCAP_ERROR_BREAK)
		return 0;
	if (result != 1) {
		snprintf(error, CAPTURE_ERROR_SIZE, "%s", pcap_geterr(reader->pcap));
		return -EINVAL;
	}
	/* With this precision the field for microseconds holds nanoseconds (pcap(3pcap)). */
	*frame = (struct captured_frame){ .data = data,
					  .length = header->caplen,
					  .time_ns = (uint64_t)header->ts.tv_sec * NANOSECONDS +
						     (uint64_t)header->ts.tv_usec };
	return 1;
}

bool capture_reader_is_nanosecond(const struct capture_reader *reader)
{
	return reader->nanosecond;
}

void capture_reader_close(struct capture_reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->pcap != NULL)
		pcap_close(reader->pcap);
	free(reader);
}

int capture_writer_open(const char *path, bool nanosecond, struct capture_writer **result,
			char error[static CAPTURE_ERROR_SIZE])
{
	struct capture_writer *writer = calloc(1, sizeof(*writer));

	if (writer == NULL) {
		snprintf(error, CAPTURE_ERROR_SIZE, "out of memory");
		return -EINVAL;
	}
	writer->nanosecond = nanosecond;
	writer->pcap = pcap_open_dead_with_tstamp_precision(
		DLT_EN10MB, 262144,
		nanosecond ? PCAP_TSTAMP_PRECISION_NANO : PCAP_TSTAMP_PRECISION_MICRO);
	if (writer->pcap != NULL)
		writer->dumper = pcap_dump_open(writer->pcap, path);
	if (writer->dumper == NULL) {
		snprintf(error, CAPTURE_ERROR_SIZE, "%s",
			 writer->pcap != NULL ? pcap_geterr(writer->pcap) : "out of memory");
		capture_writer_close(writer);
		return -EINVAL;
	}
	*result = writer;
	return 0;
}

void capture_writer_append(struct capture_writer *writer, const uint8_t *data, uint32_t length,
			   uint64_t time_ns)
{
	uint64_t fraction = time_ns % NANOSECONDS;
	struct pcap_pkthdr header = { .caplen = length, .len = length };

	header.ts.tv_sec = (time_t)(time_ns / NANOSECONDS);
	header.ts.tv_usec = (suseconds_t)(writer->nanosecond ? fraction : fraction / 1000);
	pcap_dump((u_char *)writer->dumper, &header, data);
}

int capture_writer_close(struct capture_writer *writer)
{
	int error = 0;

	if (writer == NULL)
		return 0;
	if (writer->dumper != NULL) {
		/* pcap_dump does not report: the stream remembers a failed write. */
		if (pcap_dump_flush(writer->dumper) != 0 ||
		    ferror(pcap_dump_file(writer->dumper)) != 0)
			error = -EIO;
		pcap_dump_close(writer->dumper);
	}
	if (writer->pcap != NULL)
		pcap_close(writer->pcap);
	free(writer);
	return error;
}

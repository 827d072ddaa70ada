// SPDX-License-Identifier: Apache-2.0
/*
 * Ini: a file's lines flow in, sections and keys flow out to an ops table.
 * Written here because the common library for it cuts lines at 200 bytes and
 * values at " ;" where it is built with its defaults, and tells no line.
 * Keeps RULE 6: a line is bounded, a file that others may write is refused.
 */
#include "lib/ini.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"

struct reader {
	const char *path;
	const struct bf_ini_ops *ops;
	void *context;
	unsigned int line;
	unsigned int section_line;	/* 0: no section is open */
};

static int fail_at(const struct reader *reader, unsigned int line,
		   struct bf_error *err, int ret)
{
	if (err && err->code != BF_E_SYSTEM)
		err->code = BF_E_CONFIG;
	return bf_fail_prefix(err, ret, "%s:%u: ", reader->path, line);
}

static char *strip(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

static int end_section(struct reader *reader, struct bf_error *err)
{
	int ret;

	if (!reader->section_line)
		return 0;
	ret = reader->ops->section_end(reader->context, err);
	return ret ? fail_at(reader, reader->section_line, err, ret) : 0;
}

static int read_section(struct reader *reader, char *text, struct bf_error *err)
{
	char *close = strchr(text, ']'), *rest, *kind, *name;

	rest = close ? strip(close + 1) : "";
	if (!close || (*rest && *rest != '#'))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "a section is written [kind] or [kind name]");
	*close = '\0';
	kind = strip(text + 1);
	name = kind + strcspn(kind, " \t");
	if (*name)
		*name++ = '\0';
	reader->section_line = reader->line;
	return reader->ops->section(reader->context, kind, strip(name), err);
}

static int read_key(struct reader *reader, char *text, struct bf_error *err)
{
	char *equals = strchr(text, '=');

	if (!equals)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.40s\" is neither [section] nor key = value",
			       text);
	if (!reader->section_line)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.40s\" stands before the first [section]",
			       text);
	*equals = '\0';
	return reader->ops->key(reader->context, strip(text),
				strip(equals + 1), err);
}

static int read_line(struct reader *reader, char *line, struct bf_error *err)
{
	char *text = strip(line);
	int ret;

	if (!*text || *text == '#' || *text == ';')
		return 0;
	if (*text == '[') {
		ret = end_section(reader, err);
		if (ret)
			return ret;	/* it names its own line */
		ret = read_section(reader, text, err);
	} else {
		ret = read_key(reader, text, err);
	}
	return ret ? fail_at(reader, reader->line, err, ret) : 0;
}

/* A line that fills the buffer was cut; a NUL hides what follows it. */
static bool line_whole(const char *line, ssize_t bytes)
{
	return bytes < BF_INI_LINE_BYTES && !memchr(line, '\0', bytes);
}

static int read_lines(struct reader *reader, FILE *file, struct bf_error *err)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	ssize_t bytes;

	while ((bytes = getline(&line, &room, file)) >= 0) {
		int ret;

		reader->line++;
		if (!line_whole(line, bytes))
			return fail_at(reader, reader->line, err,
				       bf_fail(err, BF_E_CONFIG, EINVAL,
					       "the line is longer than %d bytes or is not text",
					       BF_INI_LINE_BYTES - 1));
		ret = read_line(reader, line, err);
		if (ret)
			return ret;
	}
	if (ferror(file))
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot read %s: %s",
			       reader->path, strerror(errno));
	return end_section(reader, err);
}

/* What stands in it runs as root: nobody else may have written it. */
static int check_file(const char *path, FILE *file, struct bf_error *err)
{
	struct stat st;

	if (fstat(fileno(file), &st))
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot stat %s: %s",
			       path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return bf_fail(err, BF_E_CONFIG, EISDIR,
			       "%s is a directory, not a configuration file",
			       path);
	if (st.st_mode & S_IWOTH)
		return bf_fail(err, BF_E_CONFIG, EPERM,
			       "%s can be written by everybody: chmod o-w it",
			       path);
	return 0;
}

int bf_ini_parse(const char *path, const struct bf_ini_ops *ops, void *context,
		 struct bf_error *err)
{
	struct reader reader = { .path = path, .ops = ops, .context = context };
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	int ret;

	if (!file)
		return bf_fail(err, errno == ENOENT ? BF_E_NOT_FOUND :
			       BF_E_SYSTEM, errno, "cannot open %s: %s", path,
			       strerror(errno));
	ret = check_file(path, file, err);
	return ret ? ret : read_lines(&reader, file, err);
}

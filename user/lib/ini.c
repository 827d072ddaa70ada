// SPDX-License-Identifier: Apache-2.0
/*
 * Ini: a file's text flows in and through libini_config, its sections and keys
 * flow out to an ops table. The library refuses what is no ini or stands twice
 * and says the line; it keeps no line of a section, so an error that is about
 * a whole section names that.
 * Keeps RULE 6: the text is bounded and checked before the library sees it, a
 * file that others may write is refused.
 */
#include "lib/ini.h"

#include <ctype.h>
#include <errno.h>
#include <ini_configobj.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"

/* Where the library puts keys that stand before the first section. */
#define NO_SECTION "default"

struct reader {
	const char *path;
	const struct bf_ini_ops *ops;
	void *context;
	struct ini_cfgobj *config;
};

static void cleanup_source(struct ini_cfgfile **source)
{
	ini_config_file_destroy(*source);
}

static void cleanup_config(struct ini_cfgobj **config)
{
	ini_config_destroy(*config);
}

static void cleanup_sections(char ***names)
{
	ini_free_section_list(*names);
}

static void cleanup_keys(char ***names)
{
	ini_free_attribute_list(*names);
}

static void cleanup_errors(char ***texts)
{
	ini_config_free_errors(*texts);
}

static int fail_library(const char *path, int errnum, struct bf_error *err)
{
	return bf_fail(err, BF_E_SYSTEM, errnum, "cannot read %s: %s", path,
		       strerror(errnum));
}

static void blame_file(struct bf_error *err)
{
	if (err && err->code != BF_E_SYSTEM)
		err->code = BF_E_CONFIG;
}

static int give_key(const struct reader *reader, const char *section,
		    const char *key, struct bf_error *err)
{
	struct value_obj *object = NULL;
	const char *value = NULL;
	uint32_t line = 0;
	int ret;

	/* "Next" only keeps the library's place: the first value is the one. */
	ret = ini_get_config_valueobj(section, key, reader->config,
				      INI_GET_NEXT_VALUE, &object);
	if (!ret)
		ret = object ? value_get_line(object, &line) : ENOENT;
	if (!ret)
		ret = value_get_concatenated(object, &value);
	if (ret)
		return fail_library(reader->path, ret, err);
	ret = reader->ops->key(reader->context, key, value, err);
	if (!ret)
		return 0;
	blame_file(err);
	return bf_fail_prefix(err, ret, "%s:%u: ", reader->path, line);
}

static int give_keys(const struct reader *reader, const char *section,
		     struct bf_error *err)
{
	_cleanup_(cleanup_keys) char **keys = NULL;
	int nr = 0, ret = 0;

	keys = ini_get_attribute_list(reader->config, section, &nr, &ret);
	if (!keys)
		return fail_library(reader->path, ret, err);
	for (int i = 0; i < nr; i++) {
		ret = give_key(reader, section, keys[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

static int fail_section(const struct reader *reader, const char *section,
			struct bf_error *err, int ret)
{
	blame_file(err);
	return bf_fail_prefix(err, ret, "%s: [%.80s]: ", reader->path, section);
}

static int open_section(const struct reader *reader, const char *section,
			struct bf_error *err)
{
	_cleanup_free_ char *kind = strdup(section);
	char *name;

	if (!kind)
		return fail_library(reader->path, ENOMEM, err);
	if (!strcmp(section, NO_SECTION))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "there is no such section, and no key may stand before the first one");
	name = kind + strcspn(kind, " \t");
	if (*name)
		*name++ = '\0';
	name += strspn(name, " \t");
	return reader->ops->section(reader->context, kind, name, err);
}

static int give_section(const struct reader *reader, const char *section,
			struct bf_error *err)
{
	int ret = open_section(reader, section, err);

	if (ret)
		return fail_section(reader, section, err, ret);
	ret = give_keys(reader, section, err);
	if (ret)
		return ret;	/* it names its own line */
	ret = reader->ops->section_end(reader->context, err);
	return ret ? fail_section(reader, section, err, ret) : 0;
}

static int give_sections(const struct reader *reader, struct bf_error *err)
{
	_cleanup_(cleanup_sections) char **sections = NULL;
	int nr = 0, ret = 0;

	sections = ini_get_section_list(reader->config, &nr, &ret);
	if (!sections)
		return fail_library(reader->path, ret, err);
	for (int i = 0; i < nr; i++) {
		ret = give_section(reader, sections[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

/* "Error (5) on line 2: Equal sign is missing." becomes ours. */
static int fail_line(const char *path, const char *text, struct bf_error *err)
{
	unsigned int line;
	int words = 0;

	if (sscanf(text, "Error (%*u) on line %u: %n", &line, &words) != 1 ||
	    !words)
		return bf_fail(err, BF_E_CONFIG, EINVAL, "%s: %s", path, text);
	text += words;
	return bf_fail(err, BF_E_CONFIG, EINVAL,
		       "%s:%u: %.*s: lines are [kind], [kind name], key = value, or start with #",
		       path, line, (int)strcspn(text, "."), text);
}

static int fail_parse(const struct reader *reader, int errnum,
		      struct bf_error *err)
{
	_cleanup_(cleanup_errors) char **texts = NULL;

	if (errnum == ENOMEM)
		return fail_library(reader->path, errnum, err);
	if (ini_config_error_count(reader->config) &&
	    !ini_config_get_errors(reader->config, &texts))
		return fail_line(reader->path, texts[0], err);
	return bf_fail(err, BF_E_CONFIG, EINVAL,
		       "%s: a section or key has a letter in its name that is not ASCII, or a \"!\": see the manual page for those there are",
		       reader->path);
}

static int parse_source(const struct reader *reader, struct ini_cfgfile *source,
			struct bf_error *err)
{
	int ret = ini_config_parse(source, INI_STOP_ON_ANY,
				   INI_MS_ERROR | INI_MV1S_ERROR |
				   INI_MV2S_ERROR,
				   INI_PARSE_NOWRAP | INI_PARSE_NO_C_COMMENTS,
				   reader->config);

	return ret ? fail_parse(reader, ret, err) : 0;
}

static int parse_text(struct reader *reader, char *text, size_t bytes,
		      struct bf_error *err)
{
	_cleanup_(cleanup_source) struct ini_cfgfile *source = NULL;
	_cleanup_(cleanup_config) struct ini_cfgobj *config = NULL;
	int ret = ini_config_file_from_mem(text, bytes, &source);

	if (ret == EILSEQ || ret == EINVAL)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "%s is not text in UTF-8: convert it",
			       reader->path);
	if (!ret)
		ret = ini_config_create(&config);
	if (ret)
		return fail_library(reader->path, ret, err);
	reader->config = config;
	ret = parse_source(reader, source, err);
	return ret ? ret : give_sections(reader, err);
}

/* A NUL hides what follows it from us, an escape from who reads the file. */
static int check_text(const char *path, const char *text, size_t bytes,
		      struct bf_error *err)
{
	unsigned int line = 1;

	for (size_t i = 0; i < bytes; i++) {
		if (iscntrl((unsigned char)text[i]) &&
		    !(text[i] && strchr("\t\r\n", text[i])))
			return bf_fail(err, BF_E_CONFIG, EINVAL,
				       "%s:%u: the line is not text: take the control character 0x%02x out",
				       path, line, text[i]);
		line += text[i] == '\n';
	}
	return 0;
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

static int read_text(const char *path, FILE *file, char *text, size_t *bytes,
		     struct bf_error *err)
{
	*bytes = fread(text, 1, BF_INI_FILE_BYTES + 1, file);
	if (ferror(file))
		return fail_library(path, errno, err);
	if (*bytes > BF_INI_FILE_BYTES)
		return bf_fail(err, BF_E_CONFIG, EFBIG,
			       "%s is longer than %d KiB: it is no configuration",
			       path, BF_INI_FILE_BYTES / 1024);
	return check_text(path, text, *bytes, err);
}

static int cannot_open(const char *path, int error, struct bf_error *err)
{
	if (error == ENOENT)
		return bf_fail(err, BF_E_NOT_FOUND, error,
			       "cannot open %s: %s; /usr/share/doc/blkferry/examples has one to begin with",
			       path, strerror(error));
	return bf_fail(err, BF_E_SYSTEM, error, "cannot open %s: %s", path,
		       strerror(error));
}

int bf_ini_parse(const char *path, const struct bf_ini_ops *ops, void *context,
		 struct bf_error *err)
{
	struct reader reader = { .path = path, .ops = ops, .context = context };
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t bytes;
	int ret;

	if (!file)
		return cannot_open(path, errno, err);
	ret = check_file(path, file, err);
	if (ret)
		return ret;
	text = malloc(BF_INI_FILE_BYTES + 1);
	if (!text)
		return fail_library(path, ENOMEM, err);
	ret = read_text(path, file, text, &bytes, err);
	return ret ? ret : parse_text(&reader, text, bytes, err);
}

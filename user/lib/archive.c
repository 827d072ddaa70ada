// SPDX-License-Identifier: Apache-2.0
/*
 * Archive: bodies of records flow in, each becomes a file with a number of its
 * own; the number of the newest flows out.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/archive.h"
#include "lib/record.h"

#define DIGITS 4

void bf_archive_path(const char *stem, unsigned int number, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.*s@%0*u.json", PATH_MAX - 32, stem, DIGITS,
		 number);
}

/* Return: its number; 0 if @name is none of @stem's, which is without a folder. */
static unsigned int number_of(const char *name, const char *stem)
{
	size_t length = strlen(stem);
	const char *digits = name + length + 1;

	if (strncmp(name, stem, length) || name[length] != '@')
		return 0;
	for (int i = 0; i < DIGITS; i++)
		if (!isdigit((unsigned char)digits[i]))
			return 0;
	return strcmp(digits + DIGITS, ".json") ? 0 : strtoul(digits, NULL, 10);
}

int bf_archive_newest(const char *stem, unsigned int *number,
		      struct bf_error *err)
{
	char folder[PATH_MAX];
	char *slash;
	DIR *list;

	*number = 0;
	snprintf(folder, sizeof(folder), "%s", stem);
	slash = strrchr(folder, '/');
	if (!slash)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%s\" is in no folder", stem);
	*slash = '\0';
	list = opendir(folder);
	if (!list)
		return errno == ENOENT ? 0 :
			bf_fail(err, BF_E_RECORD, errno, "cannot list %s: %s",
				folder, strerror(errno));
	for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
		unsigned int found = number_of(entry->d_name, slash + 1);

		if (found > *number)
			*number = found;
	}
	closedir(list);
	return 0;
}

int bf_archive_add(const char *stem, const char *kind, json_t *body,
		   struct bf_error *err)
{
	unsigned int number;
	int ret = bf_archive_newest(stem, &number, err);

	/* The next one is free, unless somebody is at it in this moment. */
	while (!ret && ++number <= BF_ARCHIVE_MAX) {
		char path[PATH_MAX];

		bf_archive_path(stem, number, path);
		ret = bf_record_create(path, kind, body, err);
		if (ret != -EEXIST)
			return ret;
		ret = 0;
	}
	return ret ? ret : bf_fail(err, BF_E_RECORD, ENOSPC,
				   "%s@%d.json is the last number there is: move older ones away",
				   stem, BF_ARCHIVE_MAX);
}

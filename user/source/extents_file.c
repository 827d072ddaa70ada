// SPDX-License-Identifier: Apache-2.0
/*
 * A list of extents in a text file flows in; what another tracker found flows
 * out as the first generation. Keeps RULE 6: each line is checked, and a line
 * that is not understood fails with its number instead of being left out.
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/units.h"
#include "source/extents_list.h"

/* "OFFSET LENGTH", "# comment" or nothing. */
static int add_line(struct bf_extents *list, char *line, struct bf_error *err)
{
	static const char blank[] = " \t\r\n";
	char *rest, *offset, *length;
	struct bf_extent extent;
	int ret;

	line[strcspn(line, "#")] = '\0';
	offset = strtok_r(line, blank, &rest);
	if (!offset)
		return 0;
	length = strtok_r(NULL, blank, &rest);
	if (!length || strtok_r(NULL, blank, &rest))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "each line must hold an offset and a length, in bytes");
	ret = bf_parse_size(offset, &extent.offset_bytes, err);
	if (!ret)
		ret = bf_parse_size(length, &extent.length_bytes, err);
	return ret ? ret : list->ops->mark(list, &extent, 1, err);
}

static int add_lines(struct bf_extents *list, FILE *file, const char *path,
		     struct bf_error *err)
{
	_cleanup_free_ char *line = NULL;
	unsigned long number = 0;
	size_t room = 0;

	while (getline(&line, &room, file) >= 0) {
		int ret = add_line(list, line, err);

		number++;
		if (ret)
			return bf_fail_prefix(err, ret, "%s, line %lu: ", path,
					      number);
	}
	if (ferror(file))
		return bf_fail(err, BF_E_SYSTEM, EIO, "%s cannot be read: %s",
			       path, strerror(errno));
	return 0;
}

int bf_extents_file(struct bf_extents **extents, const char *path,
		    uint64_t device_bytes, uint32_t granularity_bytes,
		    struct bf_error *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	struct bf_extents *list;
	int ret;

	if (!file)
		return bf_fail(err, BF_E_NOT_FOUND, errno,
			       "%s cannot be opened: %s", path, strerror(errno));
	ret = bf_extents_list(&list, &bf_extents_file_ops, device_bytes,
			      granularity_bytes, NULL, 0, err);
	if (ret)
		return ret;
	ret = add_lines(list, file, path, err);
	if (ret)
		list->ops->close(list);
	else
		*extents = list;
	return ret;
}

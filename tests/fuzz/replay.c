// SPDX-License-Identifier: Apache-2.0
/*
 * Replay: files of a corpus flow in, each is run through the target that this is
 * linked with, as it is and MUTATIONS times changed, always in the same way;
 * lines of TAP flow out. A fault ends the program, and a corpus that has become
 * smaller fails.
 *
 *	usage: replay NAME FOLDER INPUTS
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_MAX (1 << 20)
#define MUTATIONS 12
#define PIECE_MAX 32

static uint8_t input[INPUT_MAX], mutant[INPUT_MAX + PIECE_MAX];

struct counts {
	unsigned int inputs, mutations;
};

/* The same numbers on every machine (xorshift). */
static uint32_t draw(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* A piece from @from stands at @at as well; @times 0: it is left out. */
static size_t move_piece(size_t bytes, size_t at, size_t piece, int times)
{
	memcpy(mutant, input, at);
	for (int i = 0; i < times; i++)
		memcpy(mutant + at + i * piece, input + at, piece);
	memcpy(mutant + at + times * piece, input + at + piece,
	       bytes - at - piece);
	return bytes + (times - 1) * piece;
}

/* Return: bytes in mutant. */
static size_t mutate(size_t bytes, uint32_t *state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	size_t at = draw(state) % bytes, piece = 1 + draw(state) % PIECE_MAX;

	if (piece > bytes - at)
		piece = bytes - at;
	memcpy(mutant, input, bytes);
	switch (draw(state) % 6) {
	case 0:
		mutant[at] ^= 1u << draw(state) % 8;
		return bytes;
	case 1:
		mutant[at] = values[draw(state) % sizeof(values)];
		return bytes;
	case 2:
		memset(mutant + at, values[draw(state) % sizeof(values)], piece);
		return bytes;
	case 3:
		return move_piece(bytes, at, piece, 0);
	case 4:
		return move_piece(bytes, at, piece, 2);
	default:
		return at;		/* cut short */
	}
}

static void run_mutants(size_t bytes, struct counts *counts)
{
	uint32_t state = 2463534242u + counts->inputs;

	for (int i = 0; i < MUTATIONS && bytes; i++) {
		size_t mutant_bytes = mutate(bytes, &state);

		fprintf(stderr, "mutation %d\n", i);
		LLVMFuzzerTestOneInput(mutant, mutant_bytes);
		counts->mutations++;
	}
}

static void replay(const char *folder, const char *name, struct counts *counts)
{
	char path[512];
	ssize_t bytes;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	bytes = fd < 0 ? -1 : read(fd, input, sizeof(input));
	if (fd >= 0)
		close(fd);
	if (bytes < 0)
		return;
	fprintf(stderr, "%s\n", path);	/* the last lines name the culprit */
	LLVMFuzzerTestOneInput(input, bytes);
	counts->inputs++;
	run_mutants(bytes, counts);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void verdict(int number, unsigned int count, unsigned int wanted,
		    const char *name, const char *what)
{
	printf("# count %s-%s %u\n%sok %d - %u %s of %s do no harm, %u are wanted\n",
	       name, what, count, count >= wanted ? "" : "not ", number, count,
	       what, name, wanted);
}

int main(int argc, char **argv)
{
	struct counts counts = { 0 };
	struct dirent **entries;
	unsigned int wanted, mutations;
	int nr = argc == 4 ? scandir(argv[2], &entries, NULL, by_name) : -1;

	if (nr < 0)
		return 2;
	wanted = strtoul(argv[3], NULL, 10);
	mutations = wanted ? (wanted - 1) * MUTATIONS : 0;	/* one may be empty */
	LLVMFuzzerInitialize(&argc, &argv);
	LLVMFuzzerTestOneInput(input, 0);	/* as libFuzzer begins, too */
	for (int i = 0; i < nr; i++) {
		if (entries[i]->d_name[0] != '.')
			replay(argv[2], entries[i]->d_name, &counts);
		free(entries[i]);
	}
	free(entries);
	verdict(1, counts.inputs, wanted, argv[1], "inputs");
	verdict(2, counts.mutations, mutations, argv[1], "mutations");
	printf("1..2\n");
	return counts.inputs < wanted || counts.mutations < mutations;
}

/*
 * conf_print_yaml - the commented example of every property
 *
 * Process: tranqd, on the command line.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_property.h"
#include "conf_value.h"
#include "panic.h"

#define COLUMNS 79

static const char head[] =
    "# A configuration of tranqd with every property there is. It is made "
    "from\n"
    "# the table that the program itself goes by (`make generate`).\n"
    "#\n"
    "# A property stands here with its default, behind a '#': take that away "
    "to\n"
    "# set it. `tranqd check -c FILE` reads the whole file and names every\n"
    "# problem; `tranqd config -c FILE` prints what would be in effect.\n"
    "\n"
    "# One entry a dataSource: a list as here, or a map from name to entry.\n"
    "dataSources:\n"
    "- spec:                       # a Druid spec; it needs no ioConfig\n"
    "    dataSchema:\n"
    "      dataSource: wikipedia\n"
    "      parser:\n"
    "        type: string\n"
    "        parseSpec:\n"
    "          format: json        # of text/plain bodies: or csv, tsv, regex\n"
    "          timestampSpec: {column: time, format: auto}\n"
    "          dimensionsSpec:     # without dimensions: all other fields\n"
    "            dimensions: [channel, page, user]\n"
    "      metricsSpec:\n"
    "      - {type: count, name: count}\n"
    "      - {type: longSum, name: added, fieldName: added}\n"
    "      granularitySpec:\n"
    "        type: uniform\n"
    "        segmentGranularity: HOUR\n"
    "        queryGranularity: none\n"
    "    tuningConfig:\n"
    "      type: realtime\n"
    "      windowPeriod: PT10M     # how late events may be\n"
    "  properties: {}              # of this dataSource alone; they win\n"
    "\n"
    "# Passwords need not stand in this file: a value may be, or have in it,\n"
    "# ${file:/path} or ${env:NAME}.\n"
    "properties:\n";

/* Words in lines of comment. */
static void
print_comment(const char *text)
{
	size_t column = 0;

	for (const char *word = text; *word != '\0';) {
		size_t bytes = strcspn(word, " ");

		if (column > 0 && column + 1 + bytes > COLUMNS) {
			putchar('\n');
			column = 0;
		}
		column += (size_t)printf(
		    "%s%.*s", column == 0 ? "  # " : " ", (int)bytes, word);
		word += bytes + strspn(word + bytes, " ");
	}
	putchar('\n');
}

/* Upper case in front, a point behind. */
static void
print_sentence(const char *text)
{
	char *sentence = must_format("%s.", text);

	sentence[0] = (char)toupper((unsigned char)sentence[0]);
	print_comment(sentence);
	free(sentence);
}

static void
print_property(const struct conf_property *p)
{
	char wanted[CONF_WHY_BYTES];

	putchar('\n');
	print_sentence(p->meaning);
	conf_value_wanted(p, wanted);
	if (strncmp(p->meaning, wanted, strlen(wanted)) != 0)
		print_sentence(wanted);
	if (p->reload == CONF_RESTART)
		print_comment("Needs a restart.");
	if (strcmp(p->name, "zookeeper.connect") == 0)
		/* one way to Druid must be given */
		printf("  # This or druid.overlord.url must be there.\n"
		       "  %s: localhost:2181\n",
		    p->name);
	else
		printf("  #%s: %s\n", p->name,
		    *p->otherwise != '\0' ? p->otherwise : "''");
}

static void
print_group(const char *title, bool is_global)
{
	printf("\n  # ---- %s ----\n", title);
	for (unsigned i = 0; i < conf_property_count; i++)
		if (conf_properties[i].is_global == is_global)
			print_property(&conf_properties[i]);
}

void
conf_print_commented(void)
{
	fputs(head, stdout);
	print_group("of the whole process", true);
	print_group(
	    "of a dataSource; here for all that do not say otherwise", false);
}

"""Help: a command's own options first, then those that several commands share; lines whole."""

from __future__ import annotations

from dataclasses import fields

import click

from iq_client.cli.server import SendOptions, ServerOptions

OWN = "Options"
SHARED = {
    **{field.name: "Server" for field in fields(ServerOptions)},
    **{field.name: "Sending" for field in fields(SendOptions)},
}


def sections(ctx: click.Context) -> dict[str, list[click.Option]]:
    """A command's options by the heading they stand under.

    Args:
        ctx: Of a command of `iq-client`; the command keeps the help option that it names.

    Returns:
        The headings that have options, in their order.
    """
    found: dict[str, list[click.Option]] = {OWN: [], "Server": [], "Sending": []}
    shares = {"url", "batch_size"} & {param.name for param in ctx.command.params}
    for param in ctx.command.get_params(ctx):
        if isinstance(param, click.Option):
            heading = SHARED.get(param.name or "", OWN) if shares else OWN
            found[heading].append(param)
    return {heading: options for heading, options in found.items() if options}


class SectionedCommand(click.Command):
    """A command whose help is written in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options under their headings."""
        for heading, options in sections(ctx).items():
            records = [option.get_help_record(ctx) for option in options]
            with formatter.section(heading):
                formatter.write_dl([record for record in records if record is not None])


class OrderedGroup(click.Group):
    """Commands in the order they were added, each with the whole first line of its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names; what is needed most comes first."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands; a line that is too long for the terminal is wrapped, not cut."""
        rows = [
            (name, (command.help or "").partition("\n\n")[0].replace("\n", " "))
            for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

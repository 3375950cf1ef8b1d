use super::*;
use crate::{Access, Mount, RunCommand, StageReference};
use std::time::Duration;

fn parsed(text: &str) -> Dockerfile {
    Dockerfile::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// The one instruction behind `FROM scratch`.
fn one(text: &str) -> Instruction {
    let file = parsed(&format!("FROM scratch\n{text}\n"));
    assert_eq!(file.stages[0].instructions.len(), 1, "{text}");
    file.stages[0].instructions[0].value.clone()
}

fn errors(text: &str) -> Vec<DockerfileError> {
    Dockerfile::parse(text.as_bytes()).expect_err(text).0
}

fn error(instruction: &str) -> DockerfileError {
    errors(&format!("FROM scratch\n{instruction}\n")).remove(0)
}

fn shell(text: &str) -> CommandLine {
    CommandLine::Shell(text.to_owned())
}

fn exec(arguments: &[&str]) -> CommandLine {
    CommandLine::Exec(arguments.iter().map(|a| (*a).to_owned()).collect())
}

fn run(text: &str) -> Run {
    match one(text) {
        Instruction::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

fn copy(text: &str) -> Copy {
    match one(text) {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    match one(text) {
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            pairs.into_iter().map(|p| (p.key, p.value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

mod directives {
    use super::*;

    #[test]
    fn they_stand_on_top_in_any_case() {
        let file = parsed(
            "#Syntax = docker/dockerfile:1\n# ESCAPE=`\n#check=skip=all;error=true\nFROM a\n",
        );
        assert_eq!(
            file.directives.syntax.as_deref(),
            Some("docker/dockerfile:1")
        );
        assert_eq!(file.directives.escape, Escape::Backtick);
        assert!(file.directives.check.error);
    }

    #[test]
    fn anything_else_ends_the_block() {
        for above in ["# a comment\n", "\n", "# unknown=x\n", "ARG x\n"] {
            let file = parsed(&format!("{above}# escape=`\nFROM a\n"));
            assert_eq!(file.directives.escape, Escape::Backslash, "{above:?}");
        }
    }

    #[test]
    fn each_stands_once() {
        let found = errors("# escape=`\n# Escape=`\nFROM a\n");
        assert_eq!(
            (found[0].line, found[0].message.as_str()),
            (2, "duplicate directive `escape`")
        );
    }

    #[test]
    fn only_two_characters_escape() {
        assert_eq!(errors("# escape=x\nFROM a")[0].line, 1);
        assert_eq!(errors("# check=skipp=x\nFROM a")[0].line, 1);
    }
}

mod lines {
    use super::*;

    #[test]
    fn byte_order_mark_and_crlf_are_fine() {
        let file = parsed("\u{feff}FROM a\r\nRUN x \\\r\n  y\r\n");
        let Instruction::Run(run) = &file.stages[0].instructions[0].value else {
            panic!("no RUN");
        };
        assert_eq!(run.command, shell("x   y"));
    }

    #[test]
    fn continuations_join_and_skip_comments() {
        assert_eq!(
            run("RUN a \\\n# comment\n   # another \\\n b \\\n c").command,
            shell("a  b  c")
        );
    }

    #[test]
    fn an_escaped_escape_does_not_continue() {
        let file = parsed("FROM a\nRUN echo \\\\\nUSER x\n");
        assert_eq!(file.stages[0].instructions.len(), 2);
    }

    #[test]
    fn blanks_behind_a_continuation_do_not_matter() {
        assert_eq!(run("RUN a \\ \t\nb").command, shell("a b"));
    }

    #[test]
    fn blank_lines_in_a_continuation_are_skipped_and_noted() {
        let file = parsed("FROM a\nRUN x \\\n\n  \n y\nUSER z\n");
        assert_eq!(file.empty_continuations, [3, 4]);
        assert_eq!(file.stages[0].instructions.len(), 2);
    }

    #[test]
    fn instructions_know_their_lines_and_text() {
        let file = parsed("# top\nFROM a\n\n# about\n\trun x \\\n  y\nCOPY <<E /f\nbody\nE\n");
        let [first, second] = file.stages[0].instructions.as_slice() else {
            panic!("two instructions");
        };
        assert_eq!((first.first_line, first.last_line), (5, 6));
        assert_eq!(first.text, "run x   y");
        assert_eq!(first.keyword, "run");
        assert_eq!(first.comments, ["about"]);
        assert_eq!((second.first_line, second.last_line), (7, 9));
    }

    #[test]
    fn a_file_may_end_in_a_continuation() {
        assert_eq!(run("RUN a \\").command, shell("a"));
    }

    #[test]
    fn the_backtick_continues_where_it_is_declared() {
        let file = parsed("# escape=`\nFROM a\nRUN dir c:\\ `\n /s\n");
        assert_eq!(file.stages[0].instructions[0].text, "RUN dir c:\\  /s");
    }
}

mod stages {
    use super::*;

    #[test]
    fn from_takes_platform_and_name() {
        let file =
            parsed("ARG V=1\nFROM --platform=$BUILDPLATFORM golang:$V as Build\nFROM scratch\n");
        let from = &file.stages[0].from.value;
        assert_eq!(from.platform.as_deref(), Some("$BUILDPLATFORM"));
        assert_eq!(
            (from.image.as_str(), from.name.as_deref()),
            ("golang:$V", Some("build"))
        );
        assert_eq!(file.global_args[0].value[0].default.as_deref(), Some("1"));
    }

    #[test]
    fn references_find_earlier_stages_by_name_or_number() {
        let file = parsed("FROM a AS one\nFROM b\nFROM c AS three\n");
        assert_eq!(file.stage_reference("ONE", 2), StageReference::Stage(0));
        assert_eq!(file.stage_reference("1", 2), StageReference::Stage(1));
        assert_eq!(file.stage_reference("three", 2), StageReference::NotYet(2));
        assert_eq!(file.stage_reference("2", 1), StageReference::NotYet(2));
        assert_eq!(file.stage_reference("7", 2), StageReference::Other);
        assert_eq!(file.stage_reference("alpine", 2), StageReference::Other);
        assert_eq!(file.base_stage("0", 2), None);
    }

    #[test]
    fn the_target_is_the_last_stage_or_a_named_one() {
        let file = parsed("FROM a AS build\nFROM b AS final\n");
        assert_eq!(file.target(None), Ok(1));
        assert_eq!(file.target(Some("Build")), Ok(0));
        let error = file.target(Some("biuld")).unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("build"));
    }

    #[test]
    fn what_cannot_be_a_from_is_an_error() {
        for line in [
            "FROM",
            "FROM a b",
            "FROM a AS",
            "FROM a AS 1x",
            "FROM a AS b c",
            "FROM --as=x a",
            "FROM ${a",
        ] {
            assert!(Dockerfile::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn only_arg_stands_before_the_first_from() {
        let found = errors("ARG a\nRUN x\nRUN y\nFROM z\n");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].column), (2, Some(1)));
    }

    #[test]
    fn a_file_without_from_is_an_error() {
        for text in ["", "# nothing\n", "ARG x\n"] {
            assert_eq!(errors(text).len(), 1, "{text:?}");
        }
    }
}

mod commands {
    use super::*;

    #[test]
    fn json_is_exec_form_and_everything_else_is_shell_form() {
        assert_eq!(run("RUN [\"a\", \"b c\"]").command, exec(&["a", "b c"]));
        assert_eq!(run("RUN ['a']").command, shell("['a']"));
        assert_eq!(run("RUN [ -f x ] && y").command, shell("[ -f x ] && y"));
        assert_eq!(one("CMD []"), Instruction::Cmd(exec(&[])));
        assert_eq!(
            one("entrypoint x $Y"),
            Instruction::Entrypoint(shell("x $Y"))
        );
        assert_eq!(
            one("SHELL [\"sh\",\"-c\"]"),
            Instruction::Shell(vec!["sh".into(), "-c".into()])
        );
    }

    #[test]
    fn run_takes_mounts_network_and_security() {
        let run = run(
            "RUN --mount=type=cache,target=/c --mount=type=bind,source=.,target=/s,rw --network=none --security=insecure make",
        );
        assert_eq!(run.mounts.len(), 2);
        assert!(matches!(
            run.mounts[1].mount(),
            Ok(Mount::Bind {
                access: Access::ReadWrite,
                ..
            })
        ));
        assert_eq!(
            (run.network, run.security),
            (RunNetwork::None, RunSecurity::Insecure)
        );
        assert_eq!(run.command, shell("make"));
    }

    #[test]
    fn healthchecks_have_five_flags() {
        let Instruction::Healthcheck(Healthcheck::Check(check)) = one(
            "HEALTHCHECK --interval=5m --timeout=3s --start-period=1s --start-interval=500ms --retries=4 CMD curl x",
        ) else {
            panic!("no check");
        };
        assert_eq!(check.interval, Some(Duration::from_secs(300)));
        assert_eq!(check.start_interval, Some(Duration::from_millis(500)));
        assert_eq!((check.retries, check.command), (Some(4), shell("curl x")));
        assert_eq!(
            one("healthcheck none"),
            Instruction::Healthcheck(Healthcheck::None)
        );
    }

    #[test]
    fn mistakes_in_commands_are_errors() {
        for line in [
            "RUN",
            "RUN []",
            "CMD",
            "SHELL sh -c",
            "SHELL []",
            "RUN [1]",
            "RUN --mount=typ=bind x",
            "RUN --net=host x",
            "RUN --network=lan x",
            "RUN --device=gpu x",
            "HEALTHCHECK",
            "HEALTHCHECK CMD",
            "HEALTHCHECK curl x",
            "HEALTHCHECK --interval=1 CMD x",
            "HEALTHCHECK --retries=-1 CMD x",
            "HEALTHCHECK NONE x",
            "HEALTHCHECK --interval=1s NONE",
            "CMD --x y",
            "STOPSIGNAL --x y",
            "ARG --x y",
        ] {
            error(line);
        }
    }
}

mod files {
    use super::*;

    #[test]
    fn copy_takes_all_its_flags() {
        let copy = copy(
            "COPY --from=build --chown=a:b --chmod=755 --link --parents=true --exclude=*.o --exclude=x a b /d/",
        );
        assert_eq!(copy.from.as_deref(), Some("build"));
        assert_eq!(
            (copy.chown.as_deref(), copy.chmod.as_deref()),
            (Some("a:b"), Some("755"))
        );
        assert!(copy.link && copy.parents);
        assert_eq!(copy.exclude, ["*.o", "x"]);
        assert_eq!(copy.files.paths().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(copy.files.destination, "/d/");
    }

    #[test]
    fn add_takes_all_its_flags() {
        let Instruction::Add(add) =
            one("ADD --checksum=sha256:0 --keep-git-dir --unpack=false https://x/y /d")
        else {
            panic!("no ADD");
        };
        assert_eq!(add.checksum.as_deref(), Some("sha256:0"));
        assert_eq!(
            (add.keep_git_dir, add.unpack, add.link),
            (Some(true), Some(false), false)
        );
    }

    #[test]
    fn json_holds_names_with_blanks() {
        let copy = copy("COPY [\"a b\", \"/c d/\"]");
        assert_eq!(
            (copy.files.form, copy.files.paths().next()),
            (ListForm::Json, Some("a b"))
        );
    }

    #[test]
    fn several_sources_may_turn_out_to_be_one() {
        for line in [
            "COPY a b /d/",
            "COPY a b .",
            "COPY a b ./",
            "COPY a b $D",
            "COPY a b \"/d/\"",
            "COPY a /d",
            "COPY a b /d",
        ] {
            one(line);
        }
    }

    #[test]
    fn whether_a_destination_takes_several_sources_is_seen_when_they_are_copied() {
        let file = parsed("FROM a\nCOPY a b $D\n");
        let instruction = &file.stages[0].instructions[0];
        let with = |d: &str| {
            let d = d.to_owned();
            instruction.expand(&move |_| Some(d.clone()), Escape::Backslash)
        };
        assert!(with("/d/").is_ok());
        assert!(with("/d").is_ok());
    }

    #[test]
    fn mistakes_in_copies_are_errors() {
        for line in [
            "COPY",
            "COPY a",
            "COPY --form=x a b",
            "COPY --from=$X a b",
            "COPY --chmod=999 a b",
            "COPY --link=maybe a b",
            "COPY --chown a b",
            "COPY --from=x --from=y a b",
            "COPY http://x/y /z",
            "COPY \"a b\" /c",
            "COPY a <<EOF\nEOF",
            "ADD --from=x a b",
            "ADD --checksum=x a b /c/",
            "COPY << EOF /x\nEOF",
        ] {
            error(line);
        }
    }
}

mod settings {
    use super::*;

    #[test]
    fn env_and_label_take_pairs() {
        assert_eq!(
            pairs("ENV a=1 b=\"x y\" c=x\\ y d="),
            owned(&[("a", "1"), ("b", "\"x y\""), ("c", "x\\ y"), ("d", "")])
        );
        assert_eq!(pairs("LABEL \"a b\"='c d'"), owned(&[("\"a b\"", "'c d'")]));
        assert_eq!(pairs("ENV a=b=c"), owned(&[("a", "b=c")]));
    }

    #[test]
    fn the_legacy_form_takes_the_whole_rest() {
        assert_eq!(
            pairs("ENV key   some value = x"),
            owned(&[("key", "some value = x")])
        );
    }

    #[test]
    fn arg_takes_names_with_or_without_default() {
        let Instruction::Arg(args) = one("ARG a b=1 c=\"x y\" d=") else {
            panic!("no ARG");
        };
        let args: Vec<_> = args
            .iter()
            .map(|a| (a.name.as_str(), a.default.as_deref()))
            .collect();
        assert_eq!(
            args,
            [
                ("a", None),
                ("b", Some("1")),
                ("c", Some("\"x y\"")),
                ("d", Some(""))
            ]
        );
    }

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        assert_eq!(one("WORKDIR /a b"), Instruction::Workdir("/a b".into()));
        assert_eq!(one("USER  a:b "), Instruction::User("a:b".into()));
        assert_eq!(
            one("MAINTAINER Jo <j@x>"),
            Instruction::Maintainer("Jo <j@x>".into())
        );
        assert_eq!(
            one("STOPSIGNAL SIGINT"),
            Instruction::Stopsignal("SIGINT".into())
        );
    }

    #[test]
    fn volumes_are_words_or_json() {
        let volume = |text| match one(text) {
            Instruction::Volume(list) => list.words,
            other => panic!("{other:?}"),
        };
        assert_eq!(volume("VOLUME /a /b"), ["/a", "/b"]);
        assert_eq!(volume("VOLUME [\"/a b\"]"), ["/a b"]);
    }

    #[test]
    fn mistakes_in_settings_are_errors() {
        for line in [
            "ENV",
            "ENV a",
            "ENV =b",
            "ENV a=b c",
            "ENV a=\"b",
            "ENV a=${b",
            "LABEL x",
            "ARG",
            "ARG =x",
            "EXPOSE",
            "EXPOSE 80/icmp",
            "EXPOSE x",
            "VOLUME",
            "VOLUME [\"\"]",
            "USER",
            "WORKDIR",
            "STOPSIGNAL SIGNOT",
            "LABEL a=${b^}",
        ] {
            error(line);
        }
    }
}

mod heredocs {
    use super::*;

    #[test]
    fn a_lone_body_is_the_script() {
        assert_eq!(
            run("RUN <<EOF\na\n  b\nEOF").executes(),
            RunCommand::Shell("a\n  b\n".into())
        );
        assert_eq!(
            run("RUN <<-EOF\n\ta\n\t\tb\n\tEOF").executes(),
            RunCommand::Shell("a\nb\n".into())
        );
    }

    #[test]
    fn a_body_with_an_interpreter_becomes_a_file() {
        let expected = RunCommand::Script {
            name: "EOF".into(),
            content: "#!/usr/bin/python\nprint()\n".into(),
        };
        assert_eq!(
            run("RUN <<EOF\n#!/usr/bin/python\nprint()\nEOF").executes(),
            expected
        );
    }

    #[test]
    fn a_command_with_bodies_is_left_to_the_shell() {
        let run = run("RUN cat <<A 3<<'B' > x\n$one\nA\ntwo\nB");
        assert_eq!(run.heredocs.len(), 2);
        assert_eq!(
            run.executes(),
            RunCommand::Shell("cat <<A 3<<'B' > x\n$one\nA\ntwo\nB".into())
        );
    }

    #[test]
    fn copy_makes_files_of_them() {
        let copy = copy("COPY <<a.txt plain <<\"b.txt\" /d/\n$A\na.txt\n$B\nb.txt");
        let files: Vec<_> = copy
            .files
            .inline()
            .map(|h| (h.name.as_str(), h.text(), h.expand))
            .collect();
        assert_eq!(
            files,
            [
                ("a.txt", "$A\n".into(), true),
                ("b.txt", "$B\n".into(), false)
            ]
        );
        assert_eq!(copy.files.paths().collect::<Vec<_>>(), ["plain"]);
    }

    #[test]
    fn bodies_expand_unless_quoted() {
        let file = parsed("FROM a\nCOPY <<a <<'b' /d/\n$X \"$X\" \\$X\na\n$X\nb\n");
        let expanded = file.stages[0].instructions[0]
            .expand(&|_| Some("v".into()), Escape::Backslash)
            .unwrap();
        let Instruction::Copy(copy) = expanded.instruction else {
            panic!("no COPY");
        };
        let texts: Vec<String> = copy.files.inline().map(Heredoc::text).collect();
        assert_eq!(texts, ["v \"v\" $X\n", "$X\n"]);
    }

    #[test]
    fn they_stand_in_onbuild_too() {
        let Instruction::Onbuild(onbuild) = one("ONBUILD RUN <<EOF\nx\nEOF") else {
            panic!("no ONBUILD");
        };
        assert_eq!(onbuild.trigger, "RUN <<EOF\nx\nEOF");
        assert_eq!(
            parse_trigger(&onbuild.trigger).unwrap().value,
            *onbuild.instruction
        );
    }

    #[test]
    fn a_body_without_end_is_an_error() {
        let found = errors("FROM a\nRUN <<EOF\nx\nUSER y\n");
        assert_eq!((found.len(), found[0].line), (1, 2));
    }

    #[test]
    fn arithmetic_and_quotes_open_none() {
        assert!(run("RUN echo \"<<EOF\" $((1<<2))").heredocs.is_empty());
        assert!(run("RUN [\"cat\", \"<<EOF\"]").heredocs.is_empty());
    }
}

mod onbuild {
    use super::*;

    #[test]
    fn it_holds_one_other_instruction() {
        let Instruction::Onbuild(onbuild) = one("onbuild copy --from=0 a  b") else {
            panic!("no ONBUILD");
        };
        assert_eq!(onbuild.trigger, "copy --from=0 a  b");
        assert_eq!(onbuild.instruction.name(), "COPY");
    }

    #[test]
    fn some_instructions_cannot_be_deferred() {
        for line in [
            "ONBUILD",
            "ONBUILD ONBUILD RUN x",
            "ONBUILD FROM x",
            "ONBUILD maintainer x",
            "ONBUILD NOPE",
        ] {
            error(line);
        }
        assert!(parse_trigger("FROM x").is_err());
        assert!(parse_trigger("RUN x\nRUN y").is_err());
    }
}

mod mistakes {
    use super::*;

    #[test]
    fn a_misspelt_word_names_its_place_and_the_nearest_legal_one() {
        let instruction = error("COPPY a b");
        assert_eq!(
            (
                instruction.line,
                instruction.column,
                instruction.nearest.as_deref()
            ),
            (2, Some(1), Some("COPY"))
        );
        let flag = error("COPY --chwon=a b c");
        assert_eq!(
            (flag.column, flag.nearest.as_deref()),
            (Some(6), Some("chown"))
        );
        let option = error("RUN --mount=type=cache,taget=/x y");
        assert_eq!(
            (option.column, option.nearest.as_deref()),
            (Some(24), Some("target"))
        );
        let kind = error("RUN --mount=type=cahce,target=/x y");
        assert_eq!(kind.nearest.as_deref(), Some("cache"));
    }

    #[test]
    fn several_are_reported_together() {
        let found = errors("FROM a\nCOPPY x y\nRUN ok\nEXPOSE high \\\n 80\nFROM b c\nUSER\n");
        let lines: Vec<usize> = found.iter().map(|e| e.line).collect();
        assert_eq!(lines, [2, 4, 6, 7]);
    }

    #[test]
    fn the_word_is_found_on_its_own_line() {
        let found = errors("FROM a\nRUN \\\n  --mount=type=cache,targt=/x \\\n  y\n");
        assert_eq!((found[0].line, found[0].column), (3, Some(22)));
    }

    #[test]
    fn bytes_that_are_no_text_name_their_line() {
        let found = Dockerfile::parse(b"FROM a\nRUN \xff\n").unwrap_err();
        assert_eq!(found.0[0].line, 2);
    }
}

mod expansion {
    use super::*;

    fn expanded(text: &str) -> Instruction {
        let environment = |name: &str| match name {
            "A" => Some("one two".to_owned()),
            "P" => Some("80 443".to_owned()),
            "E" => Some(String::new()),
            _ => None,
        };
        let file = parsed(&format!("FROM x\n{text}\n"));
        let instruction = &file.stages[0].instructions[0];
        instruction
            .expand(&environment, Escape::Backslash)
            .unwrap()
            .instruction
    }

    #[test]
    fn final_values_replace_words() {
        let text = |line| expanded(line).to_text(Escape::Backslash);
        assert_eq!(
            text("ENV a=$A b='$A' \"c d\"=1"),
            "ENV a=one two b=$A c d=1"
        );
        assert_eq!(text("WORKDIR /$A"), "WORKDIR /one two");
        assert_eq!(text("EXPOSE $P/udp"), "EXPOSE 80/tcp 443/udp");
        assert_eq!(text("VOLUME /${A%?two}"), "VOLUME /one");
        assert_eq!(
            text("COPY --chown=$E --chmod=${U:-755} $A /x"),
            "COPY --chmod=755 one two /x"
        );
        assert_eq!(
            text("RUN --mount=type=cache,target=/${A#one?} $A"),
            "RUN --mount=type=cache,target=/two $A"
        );
        assert_eq!(text("CMD $A"), "CMD $A");
        assert_eq!(text("ENV a \"$A\""), "ENV a one two");
    }

    #[test]
    fn used_and_unset_names_are_reported() {
        let file = parsed("FROM x\nCOPY $A $B$C /d/\n");
        let environment = |name: &str| (name == "A").then(|| "a".to_owned());
        let expansion = file.stages[0].instructions[0]
            .expand(&environment, Escape::Backslash)
            .unwrap();
        assert_eq!(expansion.used, ["A".to_owned()].into());
        assert_eq!(expansion.unset, ["B", "C"].map(String::from).into());
    }

    #[test]
    fn values_that_turn_out_wrong_are_errors() {
        for line in [
            "EXPOSE $X",
            "STOPSIGNAL $X",
            "VOLUME $E",
            "USER ${U:?who}",
            "RUN --mount=type=$X y",
        ] {
            let file = parsed(&format!("FROM x\n{line}\n"));
            let environment = |name: &str| (name == "X").then(|| "wrong".to_owned());
            let result = file.stages[0].instructions[0].expand(&environment, Escape::Backslash);
            assert_eq!(result.expect_err(line).line, 2);
        }
    }
}

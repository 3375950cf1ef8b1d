//! Why targets cannot be jobs.

use imgmake_guard::printable;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CiError {
    #[error(
        "target `{target}` is run every time, so the jobs of {} would run it again\n  help: give it `inputs`, or export {} without it",
        printable::list(.needed_by), printable::list(.needed_by)
    )]
    RunAgain {
        target: String,
        needed_by: Vec<String>,
    },
    #[error(
        "the jobs have no registry in which they can share steps\n  help: name one with `--cache HOST/REPOSITORY`, or in the manifest with `cache {{ registry ref=\"…\" }}`"
    )]
    NoCache,
    #[error(
        "secret `{secret}`: `{variable}` cannot be a variable of the jobs\n  help: {}: a variable has letters, digits and `_`, and no digit first",
        match .is_file {
            true => "give the secret another name, which the jobs have in upper case, with `_` for `-` and `.`",
            false => "name another variable in `env=`",
        }
    )]
    NoVariable {
        secret: String,
        variable: String,
        is_file: bool,
    },
    #[error(
        "secret `{secret}`: the variable `{variable}` is reserved in the jobs\n  help: {}",
        match .is_file {
            true => "give the secret another name",
            false => "name another variable in `env=`",
        }
    )]
    RulesJob {
        secret: String,
        variable: String,
        is_file: bool,
    },
    #[error(
        "secrets `{first}` and `{second}` would use the same variable of the jobs, `{variable}`\n  help: give one of them another name or another variable in `env=`"
    )]
    OneVariable {
        first: String,
        second: String,
        variable: String,
    },
    #[error(
        "secret `{secret}`: its file `{file}` would remain in the checkout, which all jobs share: `COPY . .` of a later job would copy it\n  help: name a file outside of the checkout, such as `~/{}`, or a variable with `env=`",
        file_name(.file)
    )]
    SharedFile { secret: String, file: String },
    #[error("{system} would replace `{expression}` in {place}: `{text}`\n  help: {help}")]
    Replaced {
        system: &'static str,
        expression: String,
        place: String,
        text: String,
        help: &'static str,
    },
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

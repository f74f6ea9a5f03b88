"""Stock Sanic, for comparison: the routes that its users write first.

``python stock_sanic_http.py PORT``, in a folder with ``hello.html`` and ``public/small.txt``.
"""

import sys

from jinja2 import Environment, FileSystemLoader
from sanic import HTTPResponse, Request, Sanic
from sanic.response import html, json

app = Sanic("stock")
pages = Environment(loader=FileSystemLoader("."), autoescape=True)
app.static("/public", "public")


@app.get("/view/<name>")
async def view(request: Request, name: str) -> HTTPResponse:
    return html(pages.get_template("hello.html").render(params={"name": name}, request=request))


@app.get("/do/<name>", name="do")
@app.get("/handler/<name>", name="handler")
async def hello(_request: Request, name: str) -> HTTPResponse:
    return json({"hello": name})


@app.post("/post")
async def post(request: Request) -> HTTPResponse:
    return json({"got": request.json["value"]})


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, access_log=False, motd=False)
